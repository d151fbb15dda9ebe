"""3D U-Net (Cicek et al., MICCAI 2016) as re-implemented for the FLARE22, AMOS, BTCV, MMWHS and BraTS tables.

Source: HiLab-git/SSL4MIS: code/networks/unet_3D.py, equal to kimjisoo12/GuidedNet: networks/unet_3D.py.
Units are conv, instance norm without affine parameters, ReLU; skips are CONCATENATED, skip first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.network import Backbone, Upsampling, initialise

DROPOUT = 0.3  # probability per value, after the centre and before the head


class UNet3D(Backbone):
    """Widths f, 2f, 4f, 8f, 16f; element-wise dropout (p=0.3) after the centre and before the head; kaiming weights."""

    initialisation = "kaiming"

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__()
        self.widths = tuple(filters * 2**level for level in range(5))
        self.encoder = Encoder(channels, filters)
        self.decoder = self.build_decoder(None)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Conv3d(filters, classes, 1)
        initialise(self, self.initialisation)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16, the deepest one after dropout."""
        self.check_sides(image)
        *skips, centre = self.encoder(image)
        return [*skips, self.dropout(centre)]

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """A decoder with dropout (p=0.3) on its last map, trilinear if not said otherwise."""
        dropouts = [*(nn.Identity() for _ in self.widths[2:]), nn.Dropout(DROPOUT)]
        return Decoder(self.widths, up or "trilinear", dropouts)

    def official_modules(self) -> dict[str, str]:
        """The names of both sources."""
        return {**encoder_names(), **decoder_names(), "head": "final"}


class Encoder(nn.Module):
    """Five double units with 2x2x2 max pooling between them."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(5)]
        inputs = [channels, *widths[:-1]]
        self.blocks = nn.ModuleList(double_unit(source, width) for source, width in zip(inputs, widths, strict=True))

    def forward(self, image: Tensor) -> list[Tensor]:
        """The five maps, from full size to 1/16."""
        maps = [self.blocks[0](image)]
        for block in list(self.blocks)[1:]:
            maps.append(block(F.max_pool3d(maps[-1], 2)))
        return maps


class Decoder(nn.Module):
    """Four double units, deepest first; each takes a skip of its width and the upsampled deeper map.

    widths: channels of the five encoder maps, from full size to 1/16. up: ``trilinear`` (align_corners false) and
    ``nearest`` keep the channels of the deeper map and have no weights; ``transposed`` is a convolution 2x2x2 of stride
    2 to the channels of the skip. dropouts: four modules, one per decoder map, deepest first.
    """

    def __init__(self, widths: Sequence[int], up: Upsampling, dropouts: Sequence[nn.Module]) -> None:
        super().__init__()
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_double(deep, width, up) for deep, width in steps)
        added = [width if up == "transposed" else deep for deep, width in steps]
        self.blocks = nn.ModuleList(double_unit(w + more, w) for (_, w), more in zip(steps, added, strict=True))
        self.dropouts = nn.ModuleList(dropouts)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of widths 8f, 4f, 2f, f at 1/8, 1/4, 1/2 and full size, each after its dropout."""
        *skips, feature = maps
        found: list[Tensor] = []
        for up, block, dropout, skip in zip(self.up, self.blocks, self.dropouts, reversed(skips), strict=True):
            feature = dropout(block(torch.cat([skip, up(feature)], 1)))
            found.append(feature)
        return tuple(found)


def _double(deep: int, width: int, up: Upsampling) -> nn.Module:
    """What doubles the sides of a deeper map."""
    if up == "transposed":
        return nn.ConvTranspose3d(deep, width, 2, stride=2)
    return nn.Upsample(scale_factor=2, mode=up, align_corners=False if up == "trilinear" else None)


def encoder_names() -> dict[str, str]:
    """Convolutions of ``encoder`` -> their names in HiLab-git/SSL4MIS: code/networks/unet_3D.py."""
    blocks = ("conv1", "conv2", "conv3", "conv4", "center")
    return {
        f"encoder.blocks.{level}.{unit}.0": f"{block}.conv{unit + 1}.0"
        for level, block in enumerate(blocks)
        for unit in (0, 1)
    }


def decoder_names() -> dict[str, str]:
    """Convolutions of ``decoder`` -> their names in that code."""
    return {
        f"decoder.blocks.{level}.{unit}.0": f"up_concat{4 - level}.conv.conv{unit + 1}.0"
        for level in range(4)
        for unit in (0, 1)
    }


def double_unit(before: int, width: int) -> nn.Sequential:
    """Twice conv 3x3x3, instance norm, ReLU."""
    units = [(before, width), (width, width)]
    return nn.Sequential(
        *(
            nn.Sequential(nn.Conv3d(source, target, 3, padding=1), nn.InstanceNorm3d(target), nn.ReLU(inplace=True))
            for source, target in units
        )
    )
