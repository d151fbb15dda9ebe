"""3D U-Net with deep supervision: four heads (HiLab-git/SSL4MIS: code/networks/unet_3D_dv_semi.py).

xmed-lab/DHC: code/models/unet_ds.py is the same network. Deep supervision is the method's affair: ``outputs`` gives the
logits of all scales, and ``forward`` always those of the finest one, as every backbone does.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.network import Backbone, Upsampling, initialise
from semiseg.networks import unet3d

DROPOUT = (0.5, 0.3, 0.2, 0.1)  # after the decoder maps, deepest first: deeper maps are noisier


class UNet3DDeep(Backbone):
    """The encoder and decoder of unet3d, channel dropout after each decoder block, one 1x1x1 head per decoder map."""

    initialisation = "kaiming"

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__()
        self.widths = tuple(filters * 2**level for level in range(5))
        self.encoder = unet3d.Encoder(channels, filters)
        self.decoder = self.build_decoder(None)
        self.side_heads = nn.ModuleList(nn.Conv3d(filters * 2**level, classes, 1) for level in (3, 2, 1))
        self.head = nn.Conv3d(filters, classes, 1)
        initialise(self, self.initialisation)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16; this network has no dropout in its encoder."""
        self.check_sides(image)
        maps: list[Tensor] = self.encoder(image)
        return maps

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """A decoder with channel dropout after each map, trilinear if not said otherwise."""
        return unet3d.Decoder(self.widths, up or "trilinear", [nn.Dropout3d(p) for p in DROPOUT])

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """Four full-size logit maps ``[b k z y x]``, finest first: the heads of full size, 1/2, 1/4 and 1/8."""
        *deeper, finest = self.features(image)
        sides = [
            F.interpolate(head(feature), scale_factor=2**level, mode="trilinear", align_corners=False)
            for head, feature, level in zip(self.side_heads, deeper, (3, 2, 1), strict=True)
        ]
        return (self.head(finest), *reversed(sides))

    def official_modules(self) -> dict[str, str]:
        """The names of both sources; the heads of the deeper maps are ``dsv4``, ``dsv3`` and ``dsv2``."""
        sides = {f"side_heads.{number}": f"dsv{4 - number}.dsv.0" for number in range(len(self.side_heads))}
        return {**unet3d.encoder_names(), **unet3d.decoder_names(), **sides, "head": "dsv1"}
