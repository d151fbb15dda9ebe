"""3D U-Net (Cicek et al., MICCAI 2016) as re-implemented for the FLARE22, AMOS, BTCV, MMWHS and BraTS tables.

Source: HiLab-git/SSL4MIS: code/networks/unet_3D.py, equal to kimjisoo12/GuidedNet: networks/unet_3D.py.
Units are conv, instance norm without affine parameters, ReLU; skips are CONCATENATED, skip first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.network import Backbone, initialise


class UNet3D(Backbone):
    """Widths f, 2f, 4f, 8f, 16f; element-wise dropout (p=0.3) after the centre and before the head; kaiming weights."""

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__()
        self.widths = tuple(filters * 2**level for level in range(5))
        self.encoder = Encoder(channels, filters)
        self.decoder = decoder(filters)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Conv3d(filters, classes, 1)
        initialise(self, "kaiming")

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16, the deepest one after dropout."""
        self.check_sides(image)
        *skips, centre = self.encoder(image)
        return [*skips, self.dropout(centre)]

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of widths 8f, 4f, 2f, f at 1/8, 1/4, 1/2 and full size, the last one after dropout."""
        *skips, deepest = maps
        maps = [deepest]
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            maps.append(join(block, skip, maps[-1]))
        return (*maps[1:-1], self.dropout(maps[-1]))

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


def decoder(filters: int) -> nn.ModuleList:
    """Four double units, deepest first; each takes a skip of its width and the upsampled map of twice that width."""
    return nn.ModuleList(double_unit(3 * width, width) for width in (filters * 2**level for level in (3, 2, 1, 0)))


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
        f"decoder.{level}.{unit}.0": f"up_concat{4 - level}.conv.conv{unit + 1}.0"
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


def join(block: nn.Module, skip: Tensor, deeper: Tensor) -> Tensor:
    """Upsample the deeper map twofold (trilinear, align_corners false), append it to the skip, apply the block."""
    upsampled = F.interpolate(deeper, scale_factor=2, mode="trilinear", align_corners=False)
    joined: Tensor = block(torch.cat([skip, upsampled], 1))
    return joined
