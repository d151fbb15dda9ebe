"""V-Net with attention gates on its skips (jingkunchen/TAC: networks/vnet_class_attention.py)."""

from collections.abc import Sequence

from torch import Tensor, nn

from semiseg.network import Upsampling
from semiseg.networks.vnet import Decoder, Norm, VNet

FINEST = 32  # inner width of the gate at full size, whatever the filters are
LAYERS = ("of_map.0", "of_map.1", "of_skip.0", "of_skip.1", "weight.0", "weight.1")  # those with weights, of a gate


class GatedVNet(VNet):
    """The V-Net, whose decoder adds a gated skip to each upsampled map."""

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """A decoder with gates and channel dropout on its last map, transposed if not said otherwise."""
        return GatedDecoder(self.widths, up or "transposed", self.norm, self.drop)

    def gated(self, maps: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Gated skips and decoder maps of encoder maps, both from 1/8 to full size."""
        assert isinstance(self.decoder, GatedDecoder)
        return self.decoder.gated(maps)

    def official_modules(self) -> dict[str, str]:
        """The names of the V-Net; the gates are ``Att5`` at 1/8 to ``Att2`` at full size."""
        names = dict(zip(LAYERS, ("W_g.0", "W_g.1", "W_x.0", "W_x.1", "psi.0", "psi.1"), strict=True))
        gates = {f"decoder.gates.{n}.{ours}": f"Att{5 - n}.{name}" for n in range(4) for ours, name in names.items()}
        return {**super().official_modules(), **gates}


class GatedDecoder(Decoder):
    """The V-Net's decoder with a gate before each sum; the upsampled map after its norm and ReLU is the signal."""

    def __init__(self, widths: Sequence[int], up: Upsampling, norm: type[Norm], drop: float) -> None:
        super().__init__(widths, up, norm, drop)
        inner = [*widths[2:0:-1], widths[0], FINEST]
        self.gates = nn.ModuleList(map(Gate, widths[-2::-1], inner, [norm] * len(inner)))

    def gated(self, maps: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Gated skips and decoder maps, both from 1/8 to full size; the last decoder map is after dropout."""
        *skips, feature = maps
        passed, found = [], []
        for up, block, gate, skip in zip(self.up, self.blocks, self.gates, reversed(skips), strict=True):
            larger = up(feature)
            passed.append(gate(larger, skip))
            feature = block(larger + passed[-1])
            found.append(feature)
        return tuple(passed), (*found[:-1], self.dropout(feature))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of widths 8f, 4f, 2f, f at 1/8, 1/4, 1/2 and full size, the last one after dropout."""
        return self.gated(maps)[1]


class Gate(nn.Module):
    """x sigmoid(N(psi(relu(N(W_g g) + N(W_x x))))) of a signal g and a skip x; N: norm; 1x1x1 convolutions, psi to one
    channel.
    """

    def __init__(self, width: int, inner: int, norm: type[Norm]) -> None:
        super().__init__()
        self.of_map = nn.Sequential(nn.Conv3d(width, inner, 1), norm(inner))
        self.of_skip = nn.Sequential(nn.Conv3d(width, inner, 1), norm(inner))
        self.weight = nn.Sequential(nn.Conv3d(inner, 1, 1), norm(1))

    def forward(self, signal: Tensor, skip: Tensor) -> Tensor:
        """The gated skip ``[b c z y x]``."""
        weight: Tensor = self.weight((self.of_map(signal) + self.of_skip(skip)).relu()).sigmoid()
        return skip * weight
