"""3D U-Net with four deep-supervision heads (HiLab-git/SSL4MIS: code/networks/unet_3D_dv_semi.py).

xmed-lab/DHC: code/models/unet_ds.py is the same network, but gives the finest head alone in evaluation mode; so do we.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.network import Backbone, initialise
from semiseg.networks import unet3d

DROPOUT = (0.5, 0.3, 0.2, 0.1)  # deeper maps are noisier


class UNet3DDeep(Backbone):
    """The encoder and decoder of unet3d, channel dropout after each decoder block, one 1x1x1 head per decoder map."""

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__()
        self.widths = tuple(filters * 2**level for level in range(5))
        self.encoder = unet3d.Encoder(channels, filters)
        self.decoder = unet3d.decoder(filters)
        self.dropouts = nn.ModuleList(nn.Dropout3d(p) for p in DROPOUT)
        self.side_heads = nn.ModuleList(nn.Conv3d(filters * 2**level, classes, 1) for level in (3, 2, 1))
        self.head = nn.Conv3d(filters, classes, 1)
        initialise(self, "kaiming")

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16; this network has no dropout here."""
        self.check_sides(image)
        maps: list[Tensor] = self.encoder(image)
        return maps

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of widths 8f, 4f, 2f, f at 1/8, 1/4, 1/2 and full size, each after its dropout."""
        *skips, centre = maps
        maps = [centre]
        for block, skip, dropout in zip(self.decoder, reversed(skips), self.dropouts, strict=True):
            maps.append(dropout(unet3d.join(block, skip, maps[-1])))
        return tuple(maps[1:])

    def forward(self, image: Tensor) -> tuple[Tensor, ...] | Tensor:
        """Training: four full-size logit maps ``[b k z y x]``, finest first. Evaluation: the finest alone."""
        *deeper, finest = self.features(image)
        if not self.training:
            return self.head(finest)  # type: ignore[no-any-return]
        sides = [
            F.interpolate(head(feature), scale_factor=2**level, mode="trilinear", align_corners=False)
            for head, feature, level in zip(self.side_heads, deeper, (3, 2, 1), strict=True)
        ]
        return (self.head(finest), *reversed(sides))
