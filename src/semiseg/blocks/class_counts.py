"""Voxel counts and mean features of each class, computed in blocks of voxels."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-6
BLOCK_VALUES = {"cpu": 2**20, "cuda": 2**23}  # distances of one block: 4 MiB for the cache, or enough to fill a GPU


def class_counts(labels: Tensor, classes: int) -> Tensor:
    """Number of voxels of each class and item, float32 ``[b k]``, of labels ``[b z y x]``."""
    flat = labels.flatten(1)
    ones = torch.ones((), device=labels.device).expand(flat.shape)
    return torch.zeros(len(flat), classes, device=labels.device).scatter_add_(1, flat, ones)


def prototypes(features: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Mean feature of each class and item, ``[b k c]``: sum / (count + 1e-6), which is 0 for an absent class.

    features: ``[b c z y x]``; labels: ``[b z y x]``; counts: ``[b k]``, as from ``class_counts``.
    """
    sums = ClassSums.apply(features.flatten(2), labels.flatten(1), counts.shape[1])  # type: ignore[no-untyped-call]
    return sums / (counts + EPSILON).unsqueeze(2)  # type: ignore[no-any-return]


class ClassSums(torch.autograd.Function):
    """Sum of the features of each class, ``[b k c]``, of features ``[b c v]`` and labels ``[b v]``."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Sum block by block, because a one-hot map of all voxels would cost as much memory as the features."""
        ctx.save_for_backward(labels)
        ctx.dtype = features.dtype
        ids = torch.arange(classes, device=labels.device)
        sums = torch.zeros(len(features), classes, features.shape[1], device=features.device)
        with torch.autocast(features.device.type, enabled=False):
            for block in blocks(labels.shape[1], labels.numel() * classes, features.device):
                members = (labels[:, None, block] == ids[:, None]).float()
                sums += members @ features[..., block].float().transpose(1, 2)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Give each voxel the gradient of its class."""
        (labels,) = ctx.saved_tensors
        index = labels.unsqueeze(1).expand(-1, gradient.shape[2], -1)
        return gradient.transpose(1, 2).gather(2, index).to(ctx.dtype), None, None


def blocks(voxels: int, values: int, device: torch.device) -> Iterator[slice]:
    """Slices of the voxel axis that keep a block near ``BLOCK_VALUES``.

    voxels: length of the axis; values: number of values that a computation on the whole axis would hold at once.
    """
    size = max(1, voxels * BLOCK_VALUES[device.type] // values)
    return (slice(start, start + size) for start in range(0, voxels, size))
