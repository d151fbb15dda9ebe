"""Random changes of the input that are part of a method, not of the protocol's augmentation."""

import torch
import torch.nn.functional as F
from torch import Tensor


def noisy(images: Tensor) -> Tensor:
    """Images plus clamp(0.1 N(0, 1), -0.2, 0.2) per voxel, whatever their scale (yulequan/UA-MT, HiLab-git/SSL4MIS)."""
    return images + (0.1 * torch.randn_like(images)).clamp(-0.2, 0.2)


def strong(images: Tensor) -> Tensor:
    """Strong view of ``[b c z y x]``: intensities of each item times U(0.9, 1.1), then ``noisy``; no voxel moves.

    Ours: it replaces the random image operations of FixMatch and its successors. The weak view is the crop itself.
    """
    scale = 0.9 + 0.2 * torch.rand(len(images), 1, 1, 1, 1, device=images.device)
    return noisy(images * scale)


def rotated(volumes: Tensor, degrees: Tensor) -> Tensor:
    """Volumes ``[b c z y x]`` rotated by ``degrees`` ``[b]`` about the centre of the plane of the last two axes.

    Values are those of the nearest voxel, and zeros outside. On a square plane 90 degrees are equal to
    ``torch.rot90(volume, 1, (-2, -1))``.
    """
    height, width = volumes.shape[3:]
    angle = degrees.float().deg2rad().view(-1, 1, 1)
    y = torch.arange(height, device=volumes.device).view(-1, 1) - (height - 1) / 2
    x = torch.arange(width, device=volumes.device) - (width - 1) / 2
    source_x, source_y = angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y
    grid = torch.stack([source_x * (2 / width), source_y * (2 / height)], 3)  # grid_sample counts from -1 to 1
    turned = F.grid_sample(volumes.flatten(1, 2), grid, "nearest", "zeros", align_corners=False)
    return turned.view_as(volumes)


def half_boxes(count: int, height: int, width: int) -> Tensor:
    """Random boxes of about half of a plane, bool ``[count height width]``, on the CPU.

    The width is uniform from width/2 + 1 to width - 1, the height is half the area over it, the place is uniform
    (Haochen-Wang409/U2PL: u2pl/dataset/augmentation.py).
    """
    boxes = torch.zeros(count, height, width, dtype=torch.bool)
    for box in boxes:
        across = _integer(width // 2 + 1, width)
        down = round(height * width / 2 / across)
        top, left = _integer(0, height - down + 1), _integer(0, width - across + 1)
        box[top : top + down, left : left + across] = True
    return boxes


def cutmix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Images ``[b c z y x]`` and labels ``[b z y x]`` with a box of each item taken from the next one, cyclically.

    CutMix (Yun et al., ICCV 2019). Boxes: ``half_boxes`` of the plane of the last two axes, through the whole depth.
    """
    inside = half_boxes(len(images), *images.shape[3:]).unsqueeze(1).to(images.device)
    mixed = torch.where(inside.unsqueeze(1), images.roll(-1, 0), images)
    return mixed, torch.where(inside, labels.roll(-1, 0), labels)


def _integer(low: int, high: int) -> int:
    return int(torch.randint(low, high, ()))
