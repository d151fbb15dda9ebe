"""V-Net (Milletari et al., 3DV 2016) as re-implemented for the LA tables.

Source: yulequan/UA-MT: code/networks/vnet.py (16 filters) and xmed-lab/DHC: code/models/vnet.py (32 filters).
Units are conv, batch norm, ReLU; skips are ADDED; no residual connections; torch's default initialisation.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from semiseg.network import Backbone

CONVOLUTIONS = (1, 2, 3, 3, 3)  # per encoder level; the decoder mirrors them
LEVELS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")  # official blocks, encoder to head
LAYERS = 3  # of a unit: convolution, norm, ReLU


class VNet(Backbone):
    """Five levels of widths f, 2f, 4f, 8f, 16f; channel dropout (p=0.5) on the bottleneck and before the head."""

    batch_norm = True

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__()
        self.widths = widths = tuple(filters * 2**level for level in range(5))
        inputs = [channels, *widths[1:]]
        self.encoder = nn.ModuleList(
            _block(count, before, width) for count, before, width in zip(CONVOLUTIONS, inputs, widths, strict=True)
        )
        self.down = nn.ModuleList(_unit(nn.Conv3d(width, 2 * width, 2, stride=2), 2 * width) for width in widths[:-1])
        self.up = nn.ModuleList(
            _unit(nn.ConvTranspose3d(2 * width, width, 2, stride=2), width) for width in widths[-2::-1]
        )
        self.decoder = nn.ModuleList(
            _block(count, width, width) for count, width in zip(CONVOLUTIONS[-2::-1], widths[-2::-1], strict=True)
        )
        self.dropout = nn.Dropout3d(0.5)
        self.head = nn.Conv3d(filters, classes, 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16; the deepest one after dropout."""
        self.check_sides(image)
        maps = [self.encoder[0](image)]
        for down, block in zip(self.down, list(self.encoder)[1:], strict=True):
            maps.append(block(down(maps[-1])))
        maps[-1] = self.dropout(maps[-1])
        return maps

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of widths 8f, 4f, 2f, f at 1/8, 1/4, 1/2 and full size, the last one after dropout."""
        *skips, deepest = maps
        maps = [deepest]
        for up, block, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            maps.append(block(up(maps[-1]) + skip))
        return (*maps[1:-1], self.dropout(maps[-1]))

    def official_modules(self) -> dict[str, str]:
        """The names of both sources; a block or a change of resolution is one list ``conv`` of layers there."""
        found = {"head": "out_conv"}
        for level, count in enumerate(CONVOLUTIONS):
            found |= _block_names(f"encoder.{level}", f"block_{LEVELS[level]}", count)
        for level, count in enumerate(CONVOLUTIONS[-2::-1]):
            found |= _unit_names(f"down.{level}", f"block_{LEVELS[level]}_dw")
            found |= _unit_names(f"up.{level}", f"block_{LEVELS[level + 4]}_up")
            found |= _block_names(f"decoder.{level}", f"block_{LEVELS[level + 5]}", count)
        return found


def _unit(convolution: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm3d(width), nn.ReLU(inplace=True))


def _block(count: int, before: int, width: int) -> nn.Sequential:
    inputs = [before] + [width] * (count - 1)
    return nn.Sequential(*(_unit(nn.Conv3d(source, width, 3, padding=1), width) for source in inputs))


def _block_names(ours: str, official: str, count: int) -> dict[str, str]:
    return {
        f"{ours}.{unit}.{layer}": f"{official}.conv.{LAYERS * unit + layer}"
        for unit in range(count)
        for layer in (0, 1)
    }


def _unit_names(ours: str, official: str) -> dict[str, str]:
    return {f"{ours}.{layer}": f"{official}.conv.{layer}" for layer in (0, 1)}
