"""Batches as a pure function of (seed, step), so that a resumed run has the same crops with any number of workers.

Only crops are read from the store, never whole volumes. In most official loaders rotation and flips act on the volume
before the crop is taken. Here the box of the crop is mapped back to the stored volume, read there, and then rotated and
flipped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from semiseg.data.store import CaseFile, read_image_crop, read_label_crop
from semiseg.learning.order import CROP, LABELLED, UNLABELLED, Order
from semiseg.method import Batch
from semiseg.params.config import Augmentation


@dataclass(frozen=True)
class StoredCase:
    """A case of the prepared store: its file and the shape of its arrays, in stored axis order."""

    path: CaseFile
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Crop:
    """Position and orientation of a crop.

    start, size: box in the stored volume; starts are negative, and ends too large, in its padding. rotations: quarter
    turns of what was read there, in the plane of axes 0 and 1; flips: axes that are flipped after that.
    """

    start: tuple[int, ...]
    size: tuple[int, ...]
    rotations: int
    flips: tuple[int, ...]


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
    pads = [0] * len(sides)
    if any(side <= size for side, size in zip(sides, patch, strict=True)):
        pads = [max((size - side) // 2 + 3, 0) for side, size in zip(sides, patch, strict=True)]
    room = [side + 2 * pad - size for side, size, pad in zip(sides, patch, pads, strict=True)]
    return tuple(int(rng.integers(0, free)) - pad for free, pad in zip(room, pads, strict=True))


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


def rotate(array: NDArray[np.generic], crop: Crop) -> NDArray[np.generic]:
    """Rotate and flip an array that was read at the crop's box."""
    return np.flip(np.rot90(array, crop.rotations, (0, 1)), crop.flips)


@dataclass(frozen=True)
class Sampler(Dataset[Batch]):
    """Data set whose item number ``step`` is the batch of that step, with crops of the cases that ``order`` names."""

    labelled: Sequence[StoredCase]
    unlabelled: Sequence[StoredCase]
    order: Order
    patch: tuple[int, int, int]
    augmentation: Augmentation
    seed: int

    def __getitem__(self, step: int) -> Batch:
        known, others = self.order.cases(self.seed, step)
        pairs = [self._crop(LABELLED, step, slot, self.labelled[number]) for slot, number in enumerate(known)]
        images, labels = [image for image, _ in pairs], [label for _, label in pairs]
        unlabelled = [
            self._crop(UNLABELLED, step, slot, self.unlabelled[number])[0] for slot, number in enumerate(others)
        ]
        empty = torch.empty(0, 1, *self.patch)
        return Batch(
            images=torch.from_numpy(np.stack(images))[:, None],
            labels=torch.from_numpy(np.stack(labels)).long(),
            unlabelled=torch.from_numpy(np.stack(unlabelled))[:, None] if unlabelled else empty,
        )

    def _crop(
        self, stream: int, step: int, slot: int, case: StoredCase
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Image and label of one crop; the label of an unlabelled crop is not read, and its array is empty."""
        rng = np.random.default_rng([self.seed, stream, CROP, step, slot])
        crop = draw_crop(rng, case.shape, self.patch, self.augmentation)
        image = rotate(read_image_crop(case.path, crop.start, crop.size), crop)
        if stream == UNLABELLED:
            return np.ascontiguousarray(image), np.empty(0, np.uint8)
        return np.ascontiguousarray(image), np.ascontiguousarray(
            rotate(read_label_crop(case.path, crop.start, crop.size), crop)
        )


def batches(sampler: Sampler, first: int, last: int, workers: int, pin: bool) -> Iterator[Batch]:
    """Batches of the steps first..last-1, prepared ahead by ``workers`` processes; 0 prepares them in this process."""
    return iter(
        DataLoader(
            sampler,
            batch_size=None,
            sampler=range(first, last),
            num_workers=workers,
            pin_memory=pin,
            generator=torch.Generator(),  # otherwise the loader draws from the generator of dropout
        )
    )
