"""The common parts of two crops of each scan, for tracoco.

Source: yyliu01/TraCoCo: Code/VnetLA/Dataloader/augmentation.py RandomCrop.
"""

from collections.abc import Sequence

Box = tuple[slice, ...]  # in z, y, x


def overlap(shifts: Sequence[int], sides: Sequence[int]) -> tuple[Box, Box]:
    """The common part of two crops of these sides, as a box in either; empty if there is none.

    shifts: voxels by which the second crop begins before the first one on each axis; negative where it begins after.
    """
    pairs = list(zip(shifts, sides, strict=True))
    return tuple(_kept(-shift, side) for shift, side in pairs), tuple(_kept(shift, side) for shift, side in pairs)


def _kept(first: int, side: int) -> slice:
    """What is left of a side when all before ``first`` is cut off, or, for a negative number, so much of its end."""
    return slice(min(max(first, 0), side), max(min(side + first, side), 0))
