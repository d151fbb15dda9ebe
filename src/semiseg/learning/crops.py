"""Position and orientation of random crops, and their boxes in the stored volume.

In most official loaders rotation and flips act on the volume before the crop is taken. Here the box of the crop is
mapped back to the stored volume, read there, and then rotated and flipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from semiseg.params.augmentation import Augmentation

Kind = TypeVar("Kind", bound=np.generic)
HALF_START = (0, 1)  # axes on which the rule of this name brings a second crop closer
MIRRORED: tuple[tuple[int, ...], ...] = ((), (0,), (0, 1), (1,))  # axes that k quarter turns reverse after exchanging


@dataclass(frozen=True)
class Crop:
    """Position and orientation of a crop.

    start, size: box in the stored volume; starts are negative, and ends too large, in its padding. rotations: quarter
    turns of what was read there, in the plane of axes 0 and 1; flips: axes that are flipped after that, one by one.
    """

    start: tuple[int, ...]
    size: tuple[int, ...]
    rotations: int
    flips: tuple[int, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """The stored axis that becomes each axis of the crop."""
        return (1, 0, 2) if self.rotations % 2 else (0, 1, 2)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """The axes of the crop that run backwards, seen from the stored volume."""
        backwards = set(MIRRORED[self.rotations])
        for axis in self.flips:
            backwards ^= {axis}
        return tuple(sorted(backwards))


def draw_crop(rng: np.random.Generator, shape: Sequence[int], patch: Sequence[int], augmentation: Augmentation) -> Crop:
    """Draw rotation, flips and position.

    The position is one in the rotated and flipped volume, or in the stored one where the crop comes first; the two
    differ in the end that a crop never reaches. With ``rot90`` and ``flip_one_of: [0, 1]`` every crop is a mirror
    image, because quarter turns and one flip never give the original volume; the official loaders never show it either.
    """
    rotations = int(rng.integers(4)) if augmentation.rot90 else 0
    flips = tuple(axis for axis in augmentation.flip_each if rng.random() < 0.5)
    if augmentation.flip_one_of:
        flips += (int(rng.choice(augmentation.flip_one_of)),)
    if augmentation.crop == "first":
        size = _turned(patch, rotations)
        return Crop(draw_start(rng, shape, size), size, rotations, flips)
    start = draw_start(rng, _turned(shape, rotations), patch)
    return Crop(*stored_box(start, shape, patch, rotations, flips), rotations, flips)


def draw_start(rng: np.random.Generator, sides: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """Draw the first voxel of a crop, as the official loaders do.

    If any side is not longer than the patch, every axis is padded with max((patch - side) // 2 + 3, 0) zeros on both
    ends. The start is uniform in [0, side - patch), end excluded, of the padded volume; it is negative in the padding.
    """
    pads = _pads(sides, patch)
    room = [side + 2 * pad - size for side, size, pad in zip(sides, patch, pads, strict=True)]
    return tuple(int(rng.integers(0, free)) - pad for free, pad in zip(room, pads, strict=True))


def _pads(sides: Sequence[int], patch: Sequence[int]) -> list[int]:
    """Zeros on both ends of each axis of a volume that crops of these sides are cut from."""
    if all(side > size for side, size in zip(sides, patch, strict=True)):
        return [0] * len(sides)
    return [max((size - side) // 2 + 3, 0) for side, size in zip(sides, patch, strict=True)]


def draw_second(
    rng: np.random.Generator, crop: Crop, shape: Sequence[int], patch: Sequence[int], rule: str
) -> tuple[Crop, tuple[int, ...]]:
    """Draw a second crop of the scan before a given one, as ``Augmentation.second`` says.

    Returns it, and the voxels by which it begins before the first one on each axis of the crop. Source:
    yyliu01/TraCoCo: Code/VnetLA/Dataloader/augmentation.py RandomCrop, and that of Code/VnetPancreas. There a scan is
    padded by two voxels less where it is no longer than a crop.
    """
    pads = _pads(_turned(shape, crop.rotations), patch)
    shifts, start = [], list(crop.start)
    for axis, stored in enumerate(crop.axes):
        is_mirrored = axis in crop.mirrored
        behind = shape[stored] - crop.start[stored] - crop.size[stored]
        first = (behind if is_mirrored else crop.start[stored]) + pads[axis]
        second = _second_start(rng, first, patch[axis], rule, axis)
        shifts.append(first - second)
        start[stored] += shifts[-1] if is_mirrored else -shifts[-1]
    return replace(crop, start=tuple(start)), tuple(shifts)


def _second_start(rng: np.random.Generator, first: int, side: int, rule: str, axis: int) -> int:
    """Draw the start of the second crop on an axis, of the first one's and the crop's side."""
    second = int(rng.integers(0, first)) if first else 0
    if first - second <= side or (rule == "half_start" and axis not in HALF_START):
        return second
    return second + first // 2 if rule == "half_start" else first - side // 2


def stored_box(
    start: Sequence[int], shape: Sequence[int], patch: Sequence[int], rotations: int, flips: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Start and size in the stored volume of a crop that starts at ``start`` of the rotated and flipped one.

    Flips are reversed first, then the quarter turns.
    """
    first, size, sides = list(start), list(patch), list(_turned(shape, rotations))
    for axis in flips:
        first[axis] = sides[axis] - first[axis] - size[axis]
    for _ in range(rotations):  # np.rot90: row i of the result is column n - 1 - i of the source
        first[0], first[1] = first[1], sides[0] - first[0] - size[0]
        size[0], size[1] = size[1], size[0]
        sides[0], sides[1] = sides[1], sides[0]
    return tuple(first), tuple(size)


def _turned(sides: Sequence[int], rotations: int) -> tuple[int, ...]:
    """The sides of a box after quarter turns in the plane of axes 0 and 1."""
    return (sides[1], sides[0], *sides[2:]) if rotations % 2 else tuple(sides)


def as_stored(crop_array: NDArray[Kind], crop: Crop) -> NDArray[Kind]:
    """A view of the crop's array in the orientation of the stored volume.

    What is read into it from the crop's box is rotated and flipped in the array.
    """
    backwards = [slice(None, None, -1 if axis in crop.mirrored else 1) for axis in range(crop_array.ndim)]
    return crop_array[tuple(backwards)].transpose(crop.axes)
