"""A second decoder for any backbone that upsamples by transposed convolutions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from semiseg.networks.unet3d import double_unit


class TransposedDecoder(nn.Module):
    """Per level: transposed conv 2x2x2, concatenation with the skip (first), two units of unet3d; then a 1x1x1 head.

    widths: channels of the encoder's five maps, from full size to 1/16, as ``Backbone.widths``.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose3d(deep, width, 2, stride=2) for deep, width in steps)
        self.blocks = nn.ModuleList(double_unit(2 * width, width) for _, width in steps)
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits ``[b k z y x]`` of the encoder's maps, from full size to 1/16."""
        *skips, feature = maps
        for up, block, skip in zip(self.up, self.blocks, reversed(skips), strict=True):
            feature = block(torch.cat([skip, up(feature)], 1))
        logits: Tensor = self.head(feature)
        return logits
