"""Head for signed distances (kleinzcy/SASSnet, HiLab-git/DTC: code/networks/vnet_sdf.py)."""

from torch import Tensor, nn

from semiseg.network import Backbone


class DistanceHead(nn.Module):
    """Convolution 1x1x1 and tanh on the input of a backbone's own head; one signed distance per organ."""

    def __init__(self, backbone: Backbone, organs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(backbone.widths[0], organs, 1)

    def forward(self, feature: Tensor) -> Tensor:
        """Signed distances in (-1, 1), float32 ``[b organs z y x]``, of decoder maps ``[b c z y x]``."""
        distances: Tensor = self.convolution(feature).float().tanh()
        return distances

    def official_modules(self) -> dict[str, str]:
        """The names of both sources, where ``out_conv2`` is the backbone's own head, that of the segmentation."""
        return {"convolution": "out_conv", "head": "out_conv2"}
