"""V-Net with a distance head beside the segmentation head (kleinzcy/SASSnet: code/networks/vnet_sdf.py)."""

from torch import Tensor, nn

from semiseg.networks import vnet


class VNetSDF(vnet.VNet):
    """Two 1x1x1 heads on the last feature map; ``classes`` is the number of channels of EACH head (1 where binary)."""

    def __init__(self, channels: int, classes: int, filters: int = 16) -> None:
        super().__init__(channels, classes, filters)
        self.distance_head = nn.Conv3d(filters, classes, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance map in [-1, 1] and segmentation logits, both ``[b k z y x]``."""
        feature = self.features(image)[-1]
        return self.distance_head(feature).tanh(), self.head(feature)
