"""Two overlapping crops of each loaded crop, for tracoco.

Source: yyliu01/TraCoCo: Code/VnetLA/Dataloader/augmentation.py RandomCrop. There both crops are cut from the whole
volume; here they are cut from a crop of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.method import Batch

Sides = tuple[int, int, int]
Box = tuple[slice, ...]  # in z, y, x


class Pair(NamedTuple):
    """Two crops ``[n c z y x]`` of each item, labels ``[b z y x]`` of the labelled rows of the first ones.

    first_box, second_box: for each item the common part, as a box in either crop; empty if there is none.
    """

    first: Tensor
    second: Tensor
    labels: Tensor
    first_box: list[Box]
    second_box: list[Box]


def two_crops(batch: Batch, sides: Sides) -> Pair:
    """Random crops of these sides. The second one begins before the first one on each axis, or at its place."""
    images = batch.everything
    starts = [draw_starts(images.shape[2:], sides) for _ in images]
    boxes = [[_box(start, sides) for start in pair] for pair in starts]
    common = [overlap(*pair, sides) for pair in starts]
    return Pair(
        torch.stack([image[:, *box] for image, (box, _) in zip(images, boxes, strict=True)]),
        torch.stack([image[:, *box] for image, (_, box) in zip(images, boxes, strict=True)]),
        torch.stack([label[box] for label, (box, _) in zip(batch.labels, boxes, strict=False)]),
        [first for first, _ in common],
        [second for _, second in common],
    )


def draw_starts(outer: Sequence[int], sides: Sides) -> tuple[list[int], list[int]]:
    """First voxels of two crops; the second is uniform in [0, first), and 0 where the first is."""
    first = [int(torch.randint(whole - side + 1, ())) for whole, side in zip(outer, sides, strict=True)]
    return first, [int(torch.randint(max(start, 1), ())) for start in first]


def overlap(first: list[int], second: list[int], sides: Sides) -> tuple[Box, Box]:
    """The common part of two crops that begin at these voxels, as a box in either; first >= second on each axis."""
    shifts = [min(a - b, side) for a, b, side in zip(first, second, sides, strict=True)]
    return (
        tuple(slice(0, side - shift) for shift, side in zip(shifts, sides, strict=True)),
        tuple(slice(shift, side) for shift, side in zip(shifts, sides, strict=True)),
    )


def _box(start: list[int], sides: Sides) -> Box:
    return tuple(slice(first, first + side) for first, side in zip(start, sides, strict=True))
