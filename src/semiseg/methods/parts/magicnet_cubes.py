"""Crops cut into boxes, exchanged and put back (DeepMed-Lab-ECNU/MagicNet: code/utils/cube_utils.py, cube_losses.py).

The same crop is divided in two ways. *Listed cubes* have a given side and stand in raster order (z outermost, x
innermost). *Cells* are boxes, as many on EVERY axis as there are cubes on the SECOND axis, as in the official code;
they are cubes only if the crop is one. Example: a crop of 64 x 128 x 128 has 2 x 4 x 4 listed cubes of side 32, and 4 x
4 x 4 cells of 16 x 32 x 32.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from semiseg.base.errors import UserError

ORDERS = ("official", "aligned")
Grid = tuple[int, int, int]


def grid(sides: Sequence[int], side: int) -> Grid:
    """Number of whole cubes of ``side`` voxels on each axis of a crop with these ``sides``."""
    z, y, x = (length // side for length in sides)
    return z, y, x


def check(sides: Sequence[int], side: int) -> None:
    """Raise UserError unless a crop with these ``sides`` can be divided in both ways.

    Every side must be a multiple of ``side`` and of the number of cubes on the second axis. That number must be 2 or
    more, because an exchange of single cells would move whole crops.
    """
    number = sides[1] // side
    if any(length % side for length in sides) or number < 2 or any(length % number for length in sides):
        raise UserError(
            f"training.patch {tuple(sides)} cannot be cut into cubes of {side} voxels: make every side a multiple of "
            f"{side}, the second side n = 2 cubes or more, and every side a multiple of this n, or change the cube size"
        )


def positions(counts: Grid, device: torch.device | None = None) -> Tensor:
    """Class of each listed cube, int64 ``[n]``: i + sz j + sz sy k for the cube at (i, j, k) of a grid (sz, sy, sx)."""
    ids = torch.arange(math.prod(counts), device=device)
    return ids.view(counts[::-1]).permute(2, 1, 0).flatten()


def split(volume: Tensor, side: int) -> Tensor:
    """Listed cubes ``[b n c s s s]`` of ``[b c z y x]``, whose sides are multiples of ``side``."""
    boxes = _boxes(volume, [length // side for length in volume.shape[2:]])
    return boxes.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(1, 3)


def merge(cubes: Tensor, counts: Grid, order: str) -> Tensor:
    """Volume ``[b c z y x]`` of listed cubes ``[b n c s s s]``.

    ``aligned`` is the inverse of ``split``. ``official`` reads the list with the FIRST axis innermost, so that cubes of
    the first and third axis change places (code/utils/cube_losses.py unmix_tensor).
    """
    axes = counts[::-1] if order == "official" else counts
    cells = cubes.reshape(len(cubes), *axes, *cubes.shape[2:])
    if order == "official":
        cells = cells.transpose(1, 3)
    return cells.permute(0, 4, 1, 5, 2, 6, 3, 7).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def partition(noise: Tensor) -> Tensor:
    """Source item of each cell, int64 ``[b n n n]``: a permutation of the batch for each cell, from random numbers."""
    return noise.argsort(0)


def exchange(volume: Tensor, sources: Tensor) -> Tensor:
    """The volume ``[b c z y x]`` with each cell taken from its source item ``[b n n n]``, at the same place.

    ``exchange(mixed, sources.argsort(0))`` moves the cells back.
    """
    boxes = _boxes(volume, sources.shape[1:])
    index = sources[:, None, :, None, :, None, :, None].expand_as(boxes)
    return boxes.gather(0, index).view_as(volume)


def _boxes(volume: Tensor, counts: Sequence[int]) -> Tensor:
    """View of ``[b c z y x]`` with every spatial axis split in two: number of the box, and voxel in the box."""
    shape = list(volume.shape[:2])
    for count, length in zip(counts, volume.shape[2:], strict=True):
        shape += [count, length // count]
    return volume.reshape(shape)


def frequencies(counts: Tensor, temperature: float) -> Tensor:
    """Class frequencies R = counts^(1/T) over their maximum, float ``[k]`` in [0, 1]; all 0 if nothing was counted."""
    scaled = counts.pow(1 / temperature)
    return scaled / scaled.max().clamp(min=torch.finfo(scaled.dtype).tiny)


def blend(teacher: Tensor, cube: Tensor, weight: Tensor) -> Tensor:
    """(1 - w) teacher + w cube, of logits ``[u k z y x]``, float32; w is the weight ``[k]`` of the teacher's class."""
    return torch.lerp(teacher.float(), cube.float(), weight[teacher.argmax(1)].unsqueeze(1))
