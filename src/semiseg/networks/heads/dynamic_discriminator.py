"""Discriminator of ASE-Net (SUST-reynole/ASE-Net: code/networks/discriminator.py Discriminator_3D)."""

from itertools import pairwise

from torch import Tensor, nn

from semiseg.networks.heads.dybac import DyBAC, dybac_names

WIDTHS = (1, 2, 4, 8)  # of the four maps, in units of ``filters``


class DynamicDiscriminator(nn.Module):
    """A convolution 3x3x3 and three ``DyBAC`` units, all of stride 2, on a map and its image; mean, two logits.

    Departure: no leaky ReLU works in place, because torch refuses the backward pass of that. The leaky ReLU of the
    source after each ReLU changes nothing and is left out.

    maps: channels of the map; channels: channels of the image.
    """

    def __init__(self, maps: int, channels: int = 1, filters: int = 64) -> None:
        super().__init__()
        widths = [filters * width for width in WIDTHS]
        self.of_map, self.of_image = _halve(maps, widths[0]), _halve(channels, widths[0])
        self.activate = nn.LeakyReLU(0.2)
        self.blocks = nn.ModuleList(
            nn.Sequential(DyBAC(before, after, stride=2), nn.BatchNorm3d(after), nn.ReLU())
            for before, after in pairwise(widths)
        )
        self.dropout = nn.Dropout3d(0.5)
        self.classifier = nn.Linear(widths[-1], 2)

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        """Logits ``[b 2]`` (index 1: the real side) of maps ``[b k z y x]`` and images ``[b c z y x]``."""
        feature = self.activate(self.of_map(maps) + self.of_image(images))
        for block in self.blocks:
            feature = block(self.dropout(feature))
        logits: Tensor = self.classifier(feature.mean((2, 3, 4)))
        return logits

    def official_modules(self) -> dict[str, str]:
        """The names of the source."""
        found = {"of_map": "conv0", "of_image": "conv1", "classifier": "classifier"}
        for number in range(len(self.blocks)):
            official = f"conv{number + 2}.dybac"
            found |= dybac_names(f"blocks.{number}.0", official) | {f"blocks.{number}.1": f"{official}.2"}
        return found


def _halve(before: int, after: int) -> nn.Conv3d:
    return nn.Conv3d(before, after, 3, stride=2, padding=1)
