"""A further decoder of a backbone with a head of its own."""

from collections.abc import Sequence

from torch import Tensor, nn

from semiseg.network import Backbone, Upsampling, initialise, within


class Branch(nn.Module):
    """Maps the encoder maps of a network to logits, by a decoder as ``new_decoder`` builds it and a 1x1x1 head.

    Its weights are drawn by the rule by which those of the network were. up: how a deeper map comes to twice its size;
    None: as in the network's own decoder.
    """

    def __init__(self, network: Backbone, classes: int, up: Upsampling | None = None) -> None:
        super().__init__()
        self.decoder = network.new_decoder(up)
        self.head = nn.Conv3d(network.widths[0], classes, 1)
        initialise(self.head, network.initialisation)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits ``[b k z y x]`` of encoder maps, from full size to 1/16."""
        logits: Tensor = self.head(self.decoder(maps)[-1])
        return logits

    def official_modules(self) -> dict[str, str]:
        """The names of vnet's sources, in an official module of the decoder's own; none for another decoder's."""
        decoder: dict[str, str] = getattr(self.decoder, "official_modules", dict)()
        return {**within("decoder", decoder), "head": "out_conv"} if decoder else {}
