"""Batches as a pure function of (seed, step), so that a resumed run has the same crops with any number of workers.

Only crops are read from the store, never whole volumes. In the official code rotation and flips act on the volume
before the crop is taken. Here the box of the crop is mapped back to the stored volume, read there, and then rotated and
flipped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from semiseg.data.store import read_image_crop, read_label_crop
from semiseg.method import Batch
from semiseg.params.config import Augmentation, BatchSize

LABELLED, UNLABELLED = 0, 1  # numbers of the two streams of crops, part of their seeds


@dataclass(frozen=True)
class StoredCase:
    """A case of the prepared store: its file and the shape of its arrays, in stored axis order."""

    path: Path
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Crop:
    """Position and orientation of a crop.

    rotations: quarter turns of the volume in the plane of axes 0 and 1; flips: axes that are flipped after that; start:
    first voxel of the crop in the rotated and flipped volume, negative in its padding.
    """

    rotations: int
    flips: tuple[int, ...]
    start: tuple[int, ...]


def draw_crop(rng: np.random.Generator, shape: Sequence[int], patch: Sequence[int], augmentation: Augmentation) -> Crop:
    """Draw rotation, flips and position.

    As in the official loaders: if any side is not longer than the patch, every axis is padded with
    max((patch - side) // 2 + 3, 0) zeros on both ends. The start is uniform in [0, side - patch), end excluded. With
    ``rot90`` and ``flip_one_of: [0, 1]`` every crop is a mirror image, because quarter turns and one flip never give
    the original volume; the official loaders never show it either.
    """
    rotations = int(rng.integers(4)) if augmentation.rot90 else 0
    flips = tuple(axis for axis in augmentation.flip_each if rng.random() < 0.5)
    if augmentation.flip_one_of:
        flips += (int(rng.choice(augmentation.flip_one_of)),)
    sides = (shape[1], shape[0], *shape[2:]) if rotations % 2 else tuple(shape)
    pads = [0] * len(sides)
    if any(side <= size for side, size in zip(sides, patch, strict=True)):
        pads = [max((size - side) // 2 + 3, 0) for side, size in zip(sides, patch, strict=True)]
    room = [side + 2 * pad - size for side, size, pad in zip(sides, patch, pads, strict=True)]
    start = tuple(int(rng.integers(0, free)) - pad for free, pad in zip(room, pads, strict=True))
    return Crop(rotations, flips, start)


def stored_box(crop: Crop, shape: Sequence[int], patch: Sequence[int]) -> tuple[list[int], list[int]]:
    """Start and size of the crop in the stored volume: flips are reversed first, then the quarter turns."""
    start, size = list(crop.start), list(patch)
    sides = [shape[1], shape[0], *shape[2:]] if crop.rotations % 2 else list(shape)
    for axis in crop.flips:
        start[axis] = sides[axis] - start[axis] - size[axis]
    for _ in range(crop.rotations):  # np.rot90: row i of the result is column n - 1 - i of the source
        start[0], start[1] = start[1], sides[0] - start[0] - size[0]
        size[0], size[1] = size[1], size[0]
        sides[0], sides[1] = sides[1], sides[0]
    return start, size


def rotate(array: NDArray[np.generic], crop: Crop) -> NDArray[np.generic]:
    """Rotate and flip an array that was read at ``stored_box``."""
    return np.flip(np.rot90(array, crop.rotations, (0, 1)), crop.flips)


@dataclass(frozen=True)
class Sampler(Dataset[Batch]):
    """Data set whose item number ``step`` is the batch of that step, from a labelled and an unlabelled stream of crops.

    A stream takes the cases in a random order, then in another random order, and so on without end.
    """

    labelled: Sequence[StoredCase]
    unlabelled: Sequence[StoredCase]
    size: BatchSize
    patch: tuple[int, int, int]
    augmentation: Augmentation
    seed: int

    def __getitem__(self, step: int) -> Batch:
        pairs = [self._crop(LABELLED, step, slot) for slot in range(self.size.labelled)]
        images, labels = [image for image, _ in pairs], [label for _, label in pairs]
        unlabelled = [self._crop(UNLABELLED, step, slot)[0] for slot in range(self._unlabelled_slots)]
        empty = torch.empty(0, 1, *self.patch)
        return Batch(
            images=torch.from_numpy(np.stack(images))[:, None],
            labels=torch.from_numpy(np.stack(labels)).long(),
            unlabelled=torch.from_numpy(np.stack(unlabelled))[:, None] if unlabelled else empty,
        )

    @property
    def _unlabelled_slots(self) -> int:
        return self.size.unlabelled if self.unlabelled else 0

    def _crop(self, stream: int, step: int, slot: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Image and label of one crop; the label of an unlabelled crop is not read, and its array is empty."""
        cases = self.unlabelled if stream == UNLABELLED else self.labelled
        per_step = self.size.unlabelled if stream == UNLABELLED else self.size.labelled
        case = cases[self._case_number(stream, len(cases), step * per_step + slot)]
        crop = draw_crop(
            np.random.default_rng([self.seed, stream, 1, step, slot]), case.shape, self.patch, self.augmentation
        )
        start, size = stored_box(crop, case.shape, self.patch)
        image = rotate(read_image_crop(case.path, start, size), crop)
        label = rotate(read_label_crop(case.path, start, size), crop) if stream == LABELLED else np.empty(0, np.uint8)
        return np.ascontiguousarray(image), np.ascontiguousarray(label)

    def _case_number(self, stream: int, cases: int, position: int) -> int:
        round_number, place = divmod(position, cases)
        return int(np.random.default_rng([self.seed, stream, 0, round_number]).permutation(cases)[place])


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
