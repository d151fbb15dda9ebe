"""V-Net whose volumes attend to each other, as the auxiliary network of CAML.

Source: Herschel555/CAML: code/networks/VNet.py (16 filters).
"""

from typing import Literal

from torch import Tensor, nn

from semiseg.network import Upsampling, in_two
from semiseg.networks import vnet

HEADS = 4
HIDDEN = 4  # width of the layer between, in units of the map's
DROPOUT = 0.5  # of the attention
ATTENDED = 3  # level of the map that attends: at 1/8
Among = Literal["positions", "volumes"]


class VNetAttention(vnet.VNet):
    """vnet with a trilinear decoder, and two layers of attention on the map at 1/8, which is also the skip.

    The first layer is among the positions of a volume, the second one among the volumes of a batch at each position.
    Both act in training alone.
    """

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__(channels, classes, filters)
        width = self.widths[ATTENDED]
        self.intra = SampleAttention("positions", width, HEADS, HIDDEN * width)
        self.inter = SampleAttention("volumes", width, HEADS, HIDDEN * width)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16; the deepest one after dropout."""
        self.check_sides(image)
        maps = [self.encoder[0](image)]
        for level, (down, block) in enumerate(zip(self.down, list(self.encoder)[1:], strict=True), 1):
            feature = block(down(maps[-1]))
            maps.append(self.inter(self.intra(feature)) if level == ATTENDED else feature)
        maps[-1] = self.dropout(maps[-1])
        return maps

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """The decoder of vnet, trilinear if not said otherwise."""
        return super().build_decoder(up or "trilinear")

    def official_modules(self) -> dict[str, str]:
        """The names of the source, in which this network is the second of two."""
        found = in_two(super().official_modules(), "encoder2", "decoder2")
        for layer in ("self_attn", "self_attn.out_proj", "linear1", "linear2", "norm1", "norm2"):
            for part in ("intra", "inter"):
                found[f"{part}.layer.{layer}"] = f"encoder2.{part}_attention.encoder_layers.{layer}"
        return found


class SampleAttention(nn.Module):
    """A transformer layer among the positions of each volume, or among the volumes of a batch; identity in evaluation.

    The layer normalises after each sum, and has ReLU. width: channels of the map, a multiple of ``heads``; hidden:
    width of the layer between.
    """

    def __init__(self, among: Among, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.among = among
        self.layer = nn.TransformerEncoderLayer(width, heads, hidden, DROPOUT, batch_first=True)

    def forward(self, feature: Tensor) -> Tensor:
        """Map ``[b c z y x]`` of a map of the same shape."""
        if not self.training:
            return feature
        order, back = ((0, 2, 1), (0, 2, 1)) if self.among == "positions" else ((2, 0, 1), (1, 2, 0))
        attended: Tensor = self.layer(feature.flatten(2).permute(order)).permute(back)
        return attended.reshape_as(feature)
