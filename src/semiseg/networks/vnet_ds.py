"""V-Net with deep supervision: the network vnet with four heads, for URPC on the left atrium and the pancreas.

Ours (unverified): the numbers in print are from TraCoCo's paper, whose code has no URPC. Dropout is that of vnet.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.networks import vnet


class VNetDeep(vnet.VNet):
    """vnet with a 1x1x1 head on every map of its decoder."""

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__(channels, classes, filters)
        self.side_heads = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in self.widths[3:0:-1])

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """Four full-size logit maps ``[b k z y x]``, finest first: the heads of full size, 1/2, 1/4 and 1/8."""
        *deeper, finest = self.features(image)
        sides = [
            F.interpolate(head(feature), image.shape[2:], mode="trilinear", align_corners=False)
            for head, feature in zip(self.side_heads, deeper, strict=True)
        ]
        return (self.head(finest), *reversed(sides))

    def official_modules(self) -> dict[str, str]:
        """None: no official code has this network."""
        return {}
