"""Residual 3D U-Net with deep supervision (hsiangyuzhao/RCPS: models/networks.py ProjectorUNet).

A block is conv, batch norm, PReLU, conv, batch norm, plus the block's input, then PReLU; convolutions have no bias, and
a PReLU has one slope. Skips are CONCATENATED, skip first; torch's default initialisation; no dropout.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.network import Backbone, Upsampling


class ResUNet(Backbone):
    """Five levels of widths f, 2f, 4f, 8f, 16f; the first convolution of a level halves the sides; four heads."""

    batch_norm = True

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__()
        self.widths = tuple(filters * 2**level for level in range(5))
        inputs, strides = [channels, *self.widths[:-1]], (1, 2, 2, 2, 2)
        self.encoder = nn.ModuleList(map(ResidualBlock, inputs, self.widths, strides))
        self.decoder = self.build_decoder(None)
        self.side_heads = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in self.widths[3:0:-1])
        self.head = nn.Conv3d(filters, classes, 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16."""
        self.check_sides(image)
        maps = [self.encoder[0](image)]
        for block in list(self.encoder)[1:]:
            maps.append(block(maps[-1]))
        return maps

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """A decoder, trilinear if not said otherwise."""
        return Decoder(self.widths, up or "trilinear")

    def scales(self, decoded: Sequence[Tensor], size: Sequence[int]) -> tuple[Tensor, ...]:
        """Four logit maps ``[b k z y x]`` of ``size``, finest first, of the decoder maps."""
        *deeper, finest = decoded
        sides = [
            F.interpolate(head(feature), tuple(size), mode="trilinear", align_corners=False)
            for head, feature in zip(self.side_heads, deeper, strict=True)
        ]
        return (self.head(finest), *reversed(sides))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """Four full-size logit maps ``[b k z y x]``, finest first: the heads of full size, 1/2, 1/4 and 1/8."""
        return self.scales(self.features(image), image.shape[2:])

    def official_modules(self) -> dict[str, str]:
        """The names of the source."""
        found = {"head": "convds0"} | {f"side_heads.{number}": f"convds{3 - number}" for number in range(3)}
        blocks = {f"encoder.{level}": f"backbone.conv{level}_0" for level in range(len(self.encoder))}
        blocks |= {f"decoder.blocks.{level}": f"conv{3 - level}_{level + 1}" for level in range(4)}
        for ours, official in blocks.items():
            for name, _ in self.get_submodule(ours).named_modules():
                found[f"{ours}.{name}"] = f"{official}.{name}"
        return found


class Decoder(nn.Module):
    """Four residual blocks, deepest first; each takes a skip and the upsampled deeper map.

    widths: channels of the five encoder maps, from full size to 1/16. up: ``trilinear`` (align_corners false) and
    ``nearest`` have no weights; ``transposed`` is a convolution 2x2x2 of stride 2. All keep the channels of the map.
    """

    def __init__(self, widths: Sequence[int], up: Upsampling) -> None:
        super().__init__()
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_double(deep, up) for deep, _ in steps)
        self.blocks = nn.ModuleList(ResidualBlock(deep + width, width) for deep, width in steps)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of widths 8f, 4f, 2f, f at 1/8, 1/4, 1/2 and full size."""
        *skips, feature = maps
        found: list[Tensor] = []
        for up, block, skip in zip(self.up, self.blocks, reversed(skips), strict=True):
            feature = block(torch.cat([skip, up(feature)], 1))
            found.append(feature)
        return tuple(found)


class ResidualBlock(nn.Module):
    """Two convolutions 3x3x3 beside the identity, or beside a convolution 1x1x1 where width or sides change."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Unit(before, width, 3, stride, nn.PReLU())
        self.conv2 = Unit(width, width, 3)
        self.id = Unit(before, width, 1, stride) if (before, stride) != (width, 1) else nn.Identity()
        self.act = nn.PReLU()

    def forward(self, feature: Tensor) -> Tensor:
        """A map of the block's width."""
        found: Tensor = self.act(self.conv2(self.conv1(feature)) + self.id(feature))
        return found


class Unit(nn.Module):
    """Convolution without bias, batch norm, and an activation if given."""

    def __init__(self, before: int, width: int, kernel: int, stride: int = 1, act: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv3d(before, width, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm3d(width)
        self.act = act or nn.Identity()

    def forward(self, feature: Tensor) -> Tensor:
        """A map of the unit's width."""
        found: Tensor = self.act(self.norm(self.conv(feature)))
        return found


def _double(width: int, up: Upsampling) -> nn.Module:
    """What doubles the sides of a deeper map."""
    if up == "transposed":
        return nn.ConvTranspose3d(width, width, 2, stride=2)
    return nn.Upsample(scale_factor=2, mode=up, align_corners=False if up == "trilinear" else None)
