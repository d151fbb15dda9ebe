"""DyBAC of ASE-Net: a spatial gate and a depthwise convolution whose kernel depends on the image.

Source: SUST-reynole/ASE-Net: code/networks/discriminator.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNELS = 4  # that are mixed
TEMPERATURE = 34.0  # of the softmax over kernels; the code never lowers it
SQUEEZE, HIDDEN = 16, 4  # fractions of the channels within the gate and within the attention over kernels


class SpatialGate(nn.Sequential):
    """Two convolutions 1x1x1 to one channel, with nothing between them, and a batch norm; its sigmoid is the weight."""

    def __init__(self, channels: int) -> None:
        inner = max(channels // SQUEEZE, 1)
        super().__init__(nn.Conv3d(channels, inner, 1), nn.Conv3d(inner, 1, 1), nn.BatchNorm3d(1))

    def forward(self, image: Tensor) -> Tensor:
        """The map ``[b c z y x]``, weighted voxel by voxel."""
        weight: Tensor = super().forward(image).sigmoid()  # type: ignore[no-untyped-call]
        return image * weight


class DynamicConvolution(nn.Module):
    """A depthwise kernel of each item, then a convolution 1x1x1 that all items share.

    The kernel is the mean of ``KERNELS`` kernels, weighted by an attention on the item's mean; kernels start from the
    standard normal distribution.
    """

    def __init__(self, before: int, after: int, stride: int = 1, temperature: float = TEMPERATURE) -> None:
        super().__init__()
        hidden = before // HIDDEN + 1
        self.squeeze, self.excite = nn.Conv3d(before, hidden, 1, bias=False), nn.Conv3d(hidden, KERNELS, 1, bias=False)
        self.weight = nn.Parameter(torch.randn(KERNELS, before, 1, 3, 3, 3))
        self.mix = nn.Conv3d(before, after, 1)
        self.stride, self.temperature = stride, temperature

    def attention(self, image: Tensor) -> Tensor:
        """Weights of the kernels, ``[b n]``; they sum to 1."""
        scores = self.excite(self.squeeze(image.mean((2, 3, 4), keepdim=True)).relu()).flatten(1)
        weights: Tensor = (scores / self.temperature).softmax(1)
        return weights

    def forward(self, image: Tensor) -> Tensor:
        """Map ``[b d z y x]`` of a map ``[b c z y x]``."""
        items, channels = image.shape[:2]
        kernels = (self.attention(image) @ self.weight.flatten(1)).view(items * channels, *self.weight.shape[2:])
        rows = F.conv3d(image.flatten(0, 1).unsqueeze(0), kernels, None, self.stride, 1, 1, items * channels)
        mixed: Tensor = self.mix(rows.view(items, channels, *rows.shape[2:]))
        return mixed


class DyBAC(nn.Sequential):
    """The gate, then the dynamic convolution; it stands for a convolution 3x3x3."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(SpatialGate(before), DynamicConvolution(before, after, stride))


def dybac_names(ours: str, official: str) -> dict[str, str]:
    """Modules of a ``DyBAC`` -> their names in the source."""
    names = {f"0.{layer}": f"0.spatial_excitation.{layer}" for layer in range(3)}
    names |= {"1": "1", "1.squeeze": "1.attention.fc1", "1.excite": "1.attention.fc2", "1.mix": "1.conv_1"}
    return {f"{ours}.{one}": f"{official}.{other}" for one, other in names.items()}
