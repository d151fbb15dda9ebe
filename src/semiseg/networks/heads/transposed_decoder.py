"""A second decoder for any backbone that upsamples by transposed convolutions."""

from collections.abc import Sequence

from torch import Tensor, nn

from semiseg.networks.unet3d import Decoder


class TransposedDecoder(nn.Module):
    """The transposed decoder of unet3d without dropout, and a 1x1x1 head.

    widths: channels of the encoder's five maps, from full size to 1/16, as ``Backbone.widths``.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.decoder = Decoder(widths, "transposed", [nn.Identity() for _ in widths[1:]])
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits ``[b k z y x]`` of the encoder's maps, from full size to 1/16."""
        logits: Tensor = self.head(self.decoder(maps)[-1])
        return logits
