"""Networks of sdc_ssl: the heads that it adds to a V-Net, and the autoencoder of shapes.

Source: SUST-reynole/SDC-SSL: code/networks/vnet_sdf_dkt.py and autoencoder.py.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.networks.heads.distance import DistanceHead
from semiseg.networks.vnet import Decoder, VNet

GROUPS = 8  # of the group norms


class Outputs(NamedTuple):
    """What a network with its heads gives for images ``[b c z y x]``; o is the number of organs.

    logits: of each organ against the background, ``[b o z y x]``; distances: signed, in (-1, 1), ``[b o z y x]``;
    sides: logits of the four side heads at full size, each ``[b o z y x]``, the deepest one first.
    """

    logits: Tensor
    distances: Tensor
    sides: tuple[Tensor, ...]


class ShapeHeads(nn.Module):
    """A distance head and four side heads for a V-Net.

    A side head takes the sum of a skip and the upsampled deeper map, and enlarges its logits to the crop.
    """

    def __init__(self, network: VNet, organs: int) -> None:
        super().__init__()
        self.distance = DistanceHead(network, organs)
        self.sides = nn.ModuleList(nn.Conv3d(width, organs, 1) for width in network.widths[-2::-1])

    def forward(self, network: VNet, images: Tensor) -> Outputs:
        """The outputs of the network and of these heads for images ``[b c z y x]``."""
        sums, feature = summed_maps(network, images)
        size, sides = images.shape[2:], zip(self.sides, sums, strict=True)
        enlarged = [F.interpolate(side(each), size, mode="trilinear", align_corners=False) for side, each in sides]
        return Outputs(network.head(feature), self.distance(feature), tuple(enlarged))

    def official_modules(self) -> dict[str, str]:
        """The names of the source, where ``out_conv2`` is the network's own head."""
        sides = {f"sides.{number}": f"dsv{number + 5}.dsv.0" for number in range(len(self.sides))}
        return {"distance.convolution": "out_conv", **sides}


def summed_maps(network: VNet, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Sums of skip and upsampled map of the four decoder levels, deepest first, and the map that the head takes."""
    decoder = network.decoder
    assert isinstance(decoder, Decoder)
    *skips, feature = network.encode(images)
    sums: list[Tensor] = []
    for up, block, skip in zip(decoder.up, decoder.blocks, reversed(skips), strict=True):
        sums.append(up(feature) + skip)
        feature = block(sums[-1])
    return sums, decoder.dropout(feature)


class Autoencoder(nn.Module):
    """Codes of masks at 1/4 of their size, and masks from codes."""

    def __init__(self, organs: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv3d(organs, 32, 3, padding=1), _block(32, 64, 2), _block(64, 64, 1), _block(64, 128, 2)
        )
        self.decoder = nn.Sequential(_double(128, 64), _double(64, 32), nn.Conv3d(32, organs, 1), nn.Sigmoid())

    def forward(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Codes ``[b 128 z/4 y/4 x/4]`` and reconstructions ``[b o z y x]`` of masks ``[b o z y x]``."""
        codes = self.encoder(masks)
        return codes, self.decoder(codes)

    def official_modules(self) -> dict[str, str]:
        """The names of the source."""
        blocks = {
            f"encoder.{block}.{layer}": f"encoder.conv_block{block}.{layer}" for block in (1, 2, 3) for layer in (0, 2)
        }
        decoder = {"decoder.0.0": "decoder.upsize1.0", "decoder.1.0": "decoder.upsize2.0", "decoder.2": "decoder.conv1"}
        return {"encoder.0": "encoder.conv1", **blocks, **decoder}


def _block(before: int, width: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv3d(before, width, 3, stride=stride, padding=1)
    return nn.Sequential(nn.GroupNorm(GROUPS, before), nn.ReLU(inplace=True), convolution)


def _double(before: int, width: int) -> nn.Sequential:
    larger = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True)
    return nn.Sequential(nn.Conv3d(before, width, 1), larger)


def with_background(logits: Tensor) -> Tensor:
    """Logits of all classes, float32 ``[b o+1 z y x]``, of those of the organs, to which the background is 0.

    For one organ their softmax is the sigmoid of its logit.
    """
    logits = logits.float()
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)
