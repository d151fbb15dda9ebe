"""Encoder of a ResNet-34 in 3D with the decoder of vnet, as MCF has it.

Source: WYC-321/MCF: code/networks/ResNet34.py (16 filters). The first convolution has stride 1, nothing is pooled, and
the convolutions of the encoder have no bias.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.network import Backbone, Upsampling, within
from semiseg.networks import vnet

BLOCKS = (3, 4, 6, 3)  # residual blocks of each stage below full size
STEM = 7  # side of the first kernel
DROP = 0.5  # probability of the channel dropout on the last map


class ResNet34(Backbone):
    """Five levels of widths f, 2f, 4f, 8f, 16f; channel dropout before the head alone; torch's default initialisation.

    The batch norms of the residual blocks begin with weight 1, as all others do.
    """

    batch_norm = True

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__()
        self.widths = tuple(filters * 2**level for level in range(5))
        self.encoder = Encoder(channels, self.widths)
        self.decoder = self.build_decoder(None)
        self.head = nn.Conv3d(filters, classes, 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16."""
        self.check_sides(image)
        maps: list[Tensor] = self.encoder(image)
        return maps

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """The decoder of vnet, transposed if not said otherwise."""
        return vnet.Decoder(self.widths, up or "transposed", nn.BatchNorm3d, DROP)

    def official_modules(self) -> dict[str, str]:
        """The names of the source, where a stage is a ``layer`` and the decoder has the names of vnet."""
        layers = {"conv1": "conv1", "norm1": "bn1", "conv2": "conv2", "norm2": "bn2"}
        layers |= {f"shortcut.{number}": f"downsample.{number}" for number in (0, 1)}
        found = {"head": "out_conv", "encoder.stem.0": "resnet_encoder.conv1", "encoder.stem.1": "resnet_encoder.bn1"}
        for stage, count in enumerate(BLOCKS):
            for block in range(count):
                ours, official = f"encoder.stages.{stage}.{block}", f"resnet_encoder.layer{stage + 1}.{block}"
                found |= {f"{ours}.{name}": f"{official}.{theirs}" for name, theirs in layers.items()}
        return found | within("decoder", self.decoder.official_modules())  # type: ignore[operator]


class Encoder(nn.Module):
    """A convolution 7x7x7 at full size, and four stages of residual blocks that halve the sides.

    widths: channels of the five maps, from full size to 1/16.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        first = nn.Conv3d(channels, widths[0], STEM, padding=STEM // 2, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm3d(widths[0]), nn.ReLU(inplace=True))
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(before, width, 2), *(ResidualBlock(width, width, 1) for _ in range(count - 1)))
            for (before, width), count in zip(pairwise(widths), BLOCKS, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """The five maps, from full size to 1/16."""
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps


class ResidualBlock(nn.Module):
    """Two convolutions 3x3x3 with batch norm, added to the input; ReLU after the first and after the sum.

    Where the block changes the channels or the sides, the input passes a convolution 1x1x1 with batch norm.
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv3d(before, width, 3, stride, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2, self.norm2 = nn.Conv3d(width, width, 3, 1, 1, bias=False), nn.BatchNorm3d(width)
        changes = stride > 1 or before != width
        change = (nn.Conv3d(before, width, 1, stride, bias=False), nn.BatchNorm3d(width)) if changes else ()
        self.shortcut = nn.Sequential(*change)

    def forward(self, feature: Tensor) -> Tensor:
        """Map ``[b w z y x]`` of a map ``[b c z y x]``."""
        inner = F.relu(self.norm1(self.conv1(feature)), inplace=True)
        return F.relu(self.norm2(self.conv2(inner)) + self.shortcut(feature), inplace=True)
