"""Discriminator of dan and sassnet (HiLab-git/SSL4MIS, kleinzcy/SASSnet: code/networks/discriminator.py)."""

from itertools import pairwise

from torch import Tensor, nn

WIDTHS = (1, 2, 4, 8)  # of the four maps, in units of ``filters``


class Discriminator(nn.Module):
    """Four convolutions 4x4x4 of stride 2 on a map and its image, mean over all voxels, two logits.

    The mean is global for any crop of 16 or more voxels per side. The official fixed windows are global as well for the
    crops that they were made for (6x6x6 for 96x96x96, 7x7x5 for 112x112x80), but fail on a crop of 64x128x128.

    maps: channels of the map; channels: channels of the image.
    """

    def __init__(self, maps: int, channels: int = 1, filters: int = 64) -> None:
        super().__init__()
        widths = [filters * width for width in WIDTHS]
        self.of_map, self.of_image = _halve(maps, widths[0]), _halve(channels, widths[0])
        self.activate = nn.LeakyReLU(0.2)
        self.blocks = nn.ModuleList(_halve(before, after) for before, after in pairwise(widths))
        self.dropout = nn.Dropout3d(0.5)
        self.classifier = nn.Linear(widths[-1], 2)

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        """Logits ``[b 2]`` (index 1: labelled) of maps ``[b k z y x]`` and images ``[b c z y x]``."""
        feature = self.activate(self.of_map(maps) + self.of_image(images))
        for block in self.blocks:
            feature = self.activate(block(self.dropout(feature)))
        logits: Tensor = self.classifier(feature.mean((2, 3, 4)))
        return logits

    def official_modules(self) -> dict[str, str]:
        """The names of both sources."""
        blocks = {f"blocks.{number}": f"conv{number + 2}" for number in range(len(self.blocks))}
        return {"of_map": "conv0", "of_image": "conv1", **blocks, "classifier": "classifier"}


def _halve(before: int, after: int) -> nn.Conv3d:
    return nn.Conv3d(before, after, 4, stride=2, padding=1)
