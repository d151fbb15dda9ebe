"""Head that gives single voxels vectors for contrastive losses, because a dense map would not fit into memory."""

from torch import Tensor, nn


class PointwiseHead(nn.Module):
    """Linear, ReLU, linear: equal to two 1x1x1 convolutions that are evaluated at chosen voxels only.

    Two such layers of 256 channels on 16 have 70,144 parameters; a dense map of one 64x128x128 crop would take 1.07 GB.
    """

    def __init__(self, width: int, dimension: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, dimension), nn.ReLU(inplace=True), nn.Linear(dimension, dimension))

    def forward(self, voxels: Tensor) -> Tensor:
        """Vectors of voxels of a decoder map ``[n c]``: float32 ``[n d]``, not normalised."""
        vectors: Tensor = self.layers(voxels).float()
        return vectors
