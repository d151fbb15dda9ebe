"""Random changes of the input that belong to a method, not to the protocol's augmentation."""

import torch
from torch import Tensor


def noisy(images: Tensor) -> Tensor:
    """Images plus clamp(0.1 N(0, 1), -0.2, 0.2) per voxel (yulequan/UA-MT, HiLab-git/SSL4MIS), whatever their scale."""
    return images + (0.1 * torch.randn_like(images)).clamp(-0.2, 0.2)
