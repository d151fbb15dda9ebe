"""Head that gives every voxel of a feature map a unit vector, for contrastive losses."""

import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.network import initialise


class EmbeddingHead(nn.Module):
    """Conv 1x1x1, batch norm, ReLU, conv 1x1x1; kaiming weights (taovv/UGPCL: codes/models/unet_tf.py)."""

    def __init__(self, width: int, dimension: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(width, width, 1), nn.BatchNorm3d(width), nn.ReLU(inplace=True), nn.Conv3d(width, dimension, 1)
        )
        initialise(self, "kaiming")

    def forward(self, feature: Tensor) -> Tensor:
        """Vectors of length 1 over channels, float32 ``[b d z y x]``, of a feature map ``[b c z y x]``."""
        return F.normalize(self.layers(feature).float(), dim=1)
