"""Further decoders of CauSSL, which shrink the channels of a map before they enlarge it.

Source: JuzhengMiao/CauSSL: networks/vnet.py VNet_mct.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from semiseg.networks import vnet


class PointwiseBranch(nn.Module):
    """Maps the encoder maps of a V-Net to logits, by a decoder and a 1x1x1 head.

    Where the decoder doubles the sides of a map, it has a convolution 1x1x1, then the upsampling, batch norm and ReLU;
    that of vnet enlarges first, and has a convolution 3x3x3. up: ``trilinear`` (align_corners true) or ``nearest``.
    """

    def __init__(self, network: vnet.VNet, classes: int, up: str) -> None:
        super().__init__()
        self.form, widths = up, network.widths
        self.decoder = network.new_decoder()
        corners = True if up == "trilinear" else None
        self.decoder.up = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(deep, width, 1),
                nn.Upsample(scale_factor=2, mode=up, align_corners=corners),
                network.norm(width),
                nn.ReLU(inplace=True),
            )
            for deep, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits ``[b k z y x]`` of encoder maps, from full size to 1/16."""
        logits: Tensor = self.head(self.decoder(maps)[-1])
        return logits

    def official_modules(self) -> dict[str, str]:
        """The names of the source: those of vnet with the form of the upsampling behind."""
        found = {"head": f"out_conv_{self.form}"}
        for level, count in enumerate(vnet.CONVOLUTIONS[-2::-1]):
            for layer in (0, 2):
                found[f"decoder.up.{level}.{layer}"] = f"block_{vnet.LEVELS[level + 4]}_up_{self.form}.conv.{layer}"
            for place in [(unit, layer) for unit in range(count) for layer in (0, 1)]:
                name = f"block_{vnet.LEVELS[level + 5]}_{self.form}.conv.{vnet.LAYERS * place[0] + place[1]}"
                found[f"decoder.blocks.{level}.{place[0]}.{place[1]}"] = name
        return found


def filters(decoder: nn.Module, head: nn.Module) -> list[Tensor]:
    """Weights of the convolutions of a decoder's blocks, deepest first, and of its head; upsampling is left out."""
    blocks = [module.weight for module in decoder.get_submodule("blocks").modules() if isinstance(module, nn.Conv3d)]
    assert isinstance(head, nn.Conv3d)
    return [*blocks, head.weight]
