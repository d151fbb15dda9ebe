"""The V-Net of TAC, whose skips pass attention gates (jingkunchen/TAC: networks/vnet_class_attention.py)."""

from collections.abc import Sequence

from torch import Tensor, nn

from semiseg.network import Upsampling
from semiseg.networks import vnet

FINEST = 32  # inner channels of the gate at full size, whatever the number of filters; elsewhere half of the skip's
GATES = ("Att5", "Att4", "Att3", "Att2")  # official names, deepest first


class AttentionGate(nn.Module):
    """x sigmoid(BN(psi(relu(BN(W_g g) + BN(W_x x))))), with convolutions 1x1x1; psi gives one channel.

    gating: channels of g; skip: channels of x; inner: channels of W_g g and W_x x.
    """

    def __init__(self, gating: int, skip: int, inner: int) -> None:
        super().__init__()
        self.of_gating, self.of_skip, self.psi = (
            _pointwise(gating, inner),
            _pointwise(skip, inner),
            _pointwise(inner, 1),
        )

    def forward(self, gating: Tensor, skip: Tensor) -> Tensor:
        """The skip ``[b c z y x]``, weighted voxel by voxel, of a gating map of the same sides."""
        weight: Tensor = self.psi((self.of_gating(gating) + self.of_skip(skip)).relu()).sigmoid()
        return skip * weight


class GatedDecoder(vnet.Decoder):
    """The decoder of vnet with a gate on each skip, whose gating map is the upsampled deeper map."""

    def __init__(self, widths: Sequence[int], up: Upsampling, norm: type[vnet.Norm], drop: float) -> None:
        super().__init__(widths, up, norm, drop)
        skips = widths[-2::-1]
        inner = [*(width // 2 for width in skips[:-1]), FINEST]
        self.gates = nn.ModuleList(AttentionGate(width, width, less) for width, less in zip(skips, inner, strict=True))

    def gated(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Gated skips and decoder maps of widths 8f, 4f, 2f, f, the last decoder map after dropout."""
        *skips, feature = maps
        weighted: list[Tensor] = []
        found: list[Tensor] = []
        for up, gate, block, skip in zip(self.up, self.gates, self.blocks, reversed(skips), strict=True):
            larger = up(feature)
            weighted.append(gate(larger, skip))
            feature = block(larger + weighted[-1])
            found.append(feature)
        return weighted, [*found[:-1], self.dropout(feature)]

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The decoder maps alone."""
        return tuple(self.gated(maps)[1])


class GatedVNet(vnet.VNet):
    """The sizes of vnet, and four gates; torch's default initialisation."""

    decoder: GatedDecoder

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """A decoder with gates and with channel dropout on its last map, transposed if not said otherwise."""
        return GatedDecoder(self.widths, up or "transposed", self.norm, self.drop)

    def outputs_and_maps(self, image: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Logits ``[b k z y x]``, the five encoder maps from full size down, the gated skips from 1/8 up."""
        maps = self.encode(image)
        gated, decoded = self.decoder.gated(maps)
        return self.head(decoded[-1]), maps, gated

    def official_modules(self) -> dict[str, str]:
        """The names of the source."""
        parts = {"of_gating": "W_g", "of_skip": "W_x", "psi": "psi"}
        gates = {
            f"decoder.gates.{number}.{ours}.{layer}": f"{gate}.{official}.{layer}"
            for number, gate in enumerate(GATES)
            for ours, official in parts.items()
            for layer in (0, 1)
        }
        return {**super().official_modules(), **gates}


def _pointwise(before: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(before, width, 1), nn.BatchNorm3d(width))
