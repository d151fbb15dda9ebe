"""Slices of crops, for networks that take images of two dimensions.

Slices lie across the shortest side of a crop (the first one of equal sides): a crop of 256 x 256 x 5 voxels has 5.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def across(crops: Tensor) -> int:
    """The spatial axis 0, 1 or 2 of ``[b ... z y x]`` across which slices lie."""
    sides = crops.shape[-3:]
    return sides.index(min(sides))


def stacks(crops: Tensor) -> Tensor:
    """Slices of crops ``[b ... z y x]`` as stacks ``[b ... n h w]``."""
    return crops.movedim(across(crops) - 3, -3)


def unstacked(slices: Tensor, like: Tensor) -> Tensor:
    """Stacks ``[b ... n h w]`` in the axes of the crops ``like`` that they were cut from."""
    return slices.movedim(-3, across(like) - 3)


def resized(slices: Tensor, sides: Sequence[int], mode: str) -> Tensor:
    """Slices ``[b c h w]`` with these sides; mode: bilinear, bicubic (both smoothed where sides shrink) or nearest."""
    if [*slices.shape[-2:]] == [*sides]:
        return slices
    return F.interpolate(slices, (sides[0], sides[1]), mode=mode, antialias=mode != "nearest")


def longest(slices: Tensor, side: int) -> tuple[int, int]:
    """Height and width of ``[... h w]`` after its longer side has come to ``side``, as in SAM."""
    h, w = slices.shape[-2:]
    return int(h * side / max(h, w) + 0.5), int(w * side / max(h, w) + 0.5)


def padded(slices: Tensor, side: int) -> Tensor:
    """Slices with zeros at the right and at the bottom, ``[... side side]``."""
    h, w = slices.shape[-2:]
    return F.pad(slices, (0, side - w, 0, side - h))


def scaled(slices: Tensor) -> Tensor:
    """Slices ``[... h w]``, each from 0 to 1; all 0 where a slice has one value."""
    low, high = slices.amin((-2, -1), keepdim=True), slices.amax((-2, -1), keepdim=True)
    return (slices - low) / torch.where(high > low, high - low, 1)
