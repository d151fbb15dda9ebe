"""3D U-Net of CRLN on BraTS: unet3d whose decoder doubles by a transposed convolution with batch norm and ReLU.

Source: Yaan-Wang/CRLN: UnetBRATS/Model/Unet.py (16 filters).
"""

from torch import nn

from semiseg.network import Upsampling
from semiseg.networks import unet3d


class UNet3DCRLN(unet3d.UNet3D):
    """The encoder, sizes, dropout and kaiming weights of unet3d; only the way up differs.

    Its batch norms lie between maps that an instance norm follows. The rule for crops is therefore that of unet3d.
    """

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """The decoder of unet3d with this network's way up, or with another one if said so."""
        decoder = super().build_decoder(up)
        if up is None:
            decoder.up = nn.ModuleList(_doubled(width) for width in self.widths[:0:-1])
        return decoder

    def official_modules(self) -> dict[str, str]:
        """The names of the source."""
        ups = {
            f"decoder.up.{level}.{layer}": f"up_concat{4 - level}.{name}"
            for level in range(4)
            for layer, name in ((0, "up"), (1, "bn1"))
        }
        return {**super().official_modules(), **ups}


def _doubled(width: int) -> nn.Sequential:
    """Transposed convolution 3x3x3 of stride 2 that keeps the channels, batch norm, ReLU."""
    convolution = nn.ConvTranspose3d(width, width, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(convolution, nn.BatchNorm3d(width), nn.ReLU(inplace=True))
