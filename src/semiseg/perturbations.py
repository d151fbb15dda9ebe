"""Random changes of the input that belong to a method, not to the protocol's augmentation."""

import torch
import torch.nn.functional as F
from torch import Tensor


def noisy(images: Tensor) -> Tensor:
    """Images plus clamp(0.1 N(0, 1), -0.2, 0.2) per voxel (yulequan/UA-MT, HiLab-git/SSL4MIS), whatever their scale."""
    return images + (0.1 * torch.randn_like(images)).clamp(-0.2, 0.2)


def strong(images: Tensor) -> Tensor:
    """Strong view of ``[b c z y x]``: intensities of each item times U(0.9, 1.1), then ``noisy``; voxels stay in place.

    Ours: stands for the random image operations of FixMatch and its kin; the weak view is the crop as it comes.
    """
    scale = 0.9 + 0.2 * torch.rand(len(images), 1, 1, 1, 1, device=images.device)
    return noisy(images * scale)


def rotated(volumes: Tensor, degrees: Tensor) -> Tensor:
    """Volumes ``[b c z y x]`` turned by ``degrees`` ``[b]`` about the centre of the plane of the last two axes.

    Nearest voxel, zeros from outside; 90 degrees are ``torch.rot90(volume, 1, (-2, -1))`` where the plane is square.
    """
    height, width = volumes.shape[3:]
    angle = degrees.float().deg2rad().view(-1, 1, 1)
    y = torch.arange(height, device=volumes.device).view(-1, 1) - (height - 1) / 2
    x = torch.arange(width, device=volumes.device) - (width - 1) / 2
    source_x, source_y = angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y
    grid = torch.stack([source_x * (2 / width), source_y * (2 / height)], 3)  # from -1 to 1, as grid_sample counts
    turned = F.grid_sample(volumes.flatten(1, 2), grid, "nearest", "zeros", align_corners=False)
    return turned.view_as(volumes)
