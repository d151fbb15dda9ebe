"""V-Net (Milletari et al., 3DV 2016) as re-implemented for the LA tables.

Source: yulequan/UA-MT: code/networks/vnet.py (16 filters) and xmed-lab/DHC: code/models/vnet.py (32 filters).
Units are conv, batch norm, ReLU; skips are ADDED; no residual connections; torch's default initialisation.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from semiseg.network import Backbone, Upsampling, within

CONVOLUTIONS = (1, 2, 3, 3, 3)  # per encoder level; the decoder mirrors them
LEVELS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")  # official blocks, encoder to head
Norm = nn.BatchNorm3d | nn.InstanceNorm3d
LAYERS = 3  # of a unit: convolution, norm, ReLU


class VNet(Backbone):
    """Five levels of widths f, 2f, 4f, 8f, 16f; channel dropout on the bottleneck and before the head.

    norm: class of the normalisation of all units; drop: probability of the dropout.
    """

    batch_norm = True
    norm: ClassVar[type[Norm]] = nn.BatchNorm3d
    drop: ClassVar[float] = 0.5

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__()
        self.widths = widths = tuple(filters * 2**level for level in range(5))
        inputs = [channels, *widths[1:]]
        self.encoder = nn.ModuleList(
            _block(count, before, width, self.norm)
            for count, before, width in zip(CONVOLUTIONS, inputs, widths, strict=True)
        )
        self.down = nn.ModuleList(
            _unit(nn.Conv3d(width, 2 * width, 2, stride=2), self.norm(2 * width)) for width in widths[:-1]
        )
        self.decoder = self.build_decoder(None)
        self.dropout = nn.Dropout3d(self.drop)
        self.head = nn.Conv3d(filters, classes, 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16; the deepest one after dropout."""
        self.check_sides(image)
        maps = [self.encoder[0](image)]
        for down, block in zip(self.down, list(self.encoder)[1:], strict=True):
            maps.append(block(down(maps[-1])))
        maps[-1] = self.dropout(maps[-1])
        return maps

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """A decoder with channel dropout on its last map, transposed if not said otherwise."""
        return Decoder(self.widths, up or "transposed", self.norm, self.drop)

    def official_modules(self) -> dict[str, str]:
        """The names of both sources; a block or a change of resolution is one list ``conv`` of layers there."""
        found = {"head": "out_conv"}
        for level, count in enumerate(CONVOLUTIONS):
            found |= _block_names(f"encoder.{level}", f"block_{LEVELS[level]}", count)
        for level in range(len(CONVOLUTIONS) - 1):
            found |= {f"down.{level}.{layer}": f"block_{LEVELS[level]}_dw.conv.{layer}" for layer in (0, 1)}
        return found | within("decoder", self.decoder.official_modules())  # type: ignore[operator]


class Decoder(nn.Module):
    """Four blocks, deepest first; each takes the sum of a skip and the upsampled deeper map.

    widths: channels of the five encoder maps, from full size to 1/16. up: ``transposed`` is a convolution 2x2x2 of
    stride 2. ``trilinear`` (align_corners true) and ``nearest`` are followed by a convolution 3x3x3 to the skip's
    channels, as in ycwu1997/MC-Net: code/networks/VNet.py. Norm and ReLU follow in all three forms. norm: class of the
    normalisation; drop: probability of the channel dropout on the last map.
    """

    def __init__(self, widths: Sequence[int], up: Upsampling, norm: type[Norm], drop: float) -> None:
        super().__init__()
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_unit(_double(deep, width, up), norm(width)) for deep, width in steps)
        self.blocks = nn.ModuleList(
            _block(count, width, width, norm) for count, (_, width) in zip(CONVOLUTIONS[-2::-1], steps, strict=True)
        )
        self.dropout = nn.Dropout3d(drop)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of widths 8f, 4f, 2f, f at 1/8, 1/4, 1/2 and full size, the last one after dropout."""
        *skips, feature = maps
        found: list[Tensor] = []
        for up, block, skip in zip(self.up, self.blocks, reversed(skips), strict=True):
            feature = block(up(feature) + skip)
            found.append(feature)
        return (*found[:-1], self.dropout(feature))

    def official_modules(self) -> dict[str, str]:
        """The names of the sources; what enlarges a map without weights has a place in the list ``conv`` there."""
        found = {}
        for level, (up, count) in enumerate(zip(self.up, CONVOLUTIONS[-2::-1], strict=True)):
            convolution, place = ("0.1", 1) if isinstance(up.get_submodule("0"), nn.Sequential) else ("0", 0)
            for ours, layer in ((convolution, place), ("1", place + 1)):
                found[f"up.{level}.{ours}"] = f"block_{LEVELS[level + 4]}_up.conv.{layer}"
            found |= _block_names(f"blocks.{level}", f"block_{LEVELS[level + 5]}", count)
        return found


def _double(deep: int, width: int, up: Upsampling) -> nn.Module:
    """What brings a deeper map to twice its sides and to the channels of the skip."""
    if up == "transposed":
        return nn.ConvTranspose3d(deep, width, 2, stride=2)
    larger = nn.Upsample(scale_factor=2, mode=up, align_corners=True if up == "trilinear" else None)
    return nn.Sequential(larger, nn.Conv3d(deep, width, 3, padding=1))


def _unit(convolution: nn.Module, norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution, norm, nn.ReLU(inplace=True))


def _block(count: int, before: int, width: int, norm: type[Norm]) -> nn.Sequential:
    inputs = [before] + [width] * (count - 1)
    return nn.Sequential(*(_unit(nn.Conv3d(source, width, 3, padding=1), norm(width)) for source in inputs))


def _block_names(ours: str, official: str, count: int) -> dict[str, str]:
    return {
        f"{ours}.{unit}.{layer}": f"{official}.conv.{LAYERS * unit + layer}"
        for unit in range(count)
        for layer in (0, 1)
    }
