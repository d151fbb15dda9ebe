"""Batches as a pure function of (seed, step), so that a resumed run has the same crops with any number of threads.

Only crops are read from the store, never whole volumes. Each is copied once, out of the file and rotated, to its place
in the batch, which lies in pinned memory where a GPU computes. Threads prepare the batches of later steps: they copy
without holding Python's lock, and their results need no way from one process to another. A stream of its own takes a
batch to the GPU, so that the copy runs beside the step before.

What a method derives from the images of unlabelled crops (``Method.derive``) is computed in the same threads.

A small training set may lie on the device as a whole (``KeptOnDevice``). Its crops are then cut there.
"""

import itertools
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.data.store import read_label, read_label_crop
from semiseg.learning.crops import Crop, as_stored, draw_crop, draw_second
from semiseg.learning.order import CROP, LABELLED, SECOND, STRONG, UNLABELLED, Order
from semiseg.learning.scans import StoredCase as StoredCase
from semiseg.learning.scans import image_crop_of, image_of
from semiseg.learning.strong import changed_image, changed_label, draw_changes
from semiseg.method import Batch, Derive
from semiseg.params.augmentation import Augmentation, Strong

BATCHES_AHEAD = 2  # ready or under way besides those that threads work on


Drawn = Sequence[tuple[StoredCase, Crop]]  # the crops of one stream in one step
Sides = tuple[int, int, int]


class Source(Protocol):
    """Where crops are cut from. on_device: whether that is the device of the training, and not main memory."""

    @property
    def on_device(self) -> bool:
        """Whether crops are cut on the device."""

    def images(self, drawn: Drawn, patch: Sides) -> Tensor:
        """The images of these crops, float32 ``[b 1 z y x]``."""

    def labels(self, drawn: Drawn, patch: Sides) -> Tensor:
        """The label maps of these crops, uint8 ``[b z y x]``."""


@dataclass(frozen=True)
class Store:
    """Crops read from the prepared store into main memory. pinned: into memory from which a GPU copies by itself."""

    pinned: bool
    on_device: ClassVar[bool] = False

    def images(self, drawn: Drawn, patch: Sides) -> Tensor:
        """As ``Source.images``; only the boxes of the crops are read."""
        batch = torch.empty(len(drawn), 1, *patch, pin_memory=self.pinned)
        for place, (case, crop) in zip(batch.numpy(), drawn, strict=True):
            image_crop_of(case, crop.start, crop.size, as_stored(place[0], crop))
        return batch

    def labels(self, drawn: Drawn, patch: Sides) -> Tensor:
        """As ``Source.labels``; only the boxes of the crops are read."""
        batch = torch.empty(len(drawn), *patch, dtype=torch.uint8, pin_memory=self.pinned)
        for place, (case, crop) in zip(batch.numpy(), drawn, strict=True):
            read_label_crop(case.path, crop.start, crop.size, as_stored(place, crop))
        return batch


@dataclass(frozen=True)
class KeptOnDevice:
    """Whole cases on the device. An unlabelled case has no label map here."""

    kept_images: Mapping[StoredCase, Tensor]
    kept_labels: Mapping[StoredCase, Tensor]
    device: torch.device
    on_device: ClassVar[bool] = True

    @classmethod
    def of(cls, labelled: Sequence[StoredCase], unlabelled: Sequence[StoredCase], device: torch.device) -> Self:
        """Copy these cases to the device. Raises UserError where they take more than half of a GPU's free memory."""
        voxels = [sum(prod(case.shape) for case in cases) for cases in ({*labelled, *unlabelled}, {*labelled})]
        _require_room(4 * voxels[0] + voxels[1], device)
        return cls(
            {case: torch.from_numpy(image_of(case)).to(device) for case in (*labelled, *unlabelled)},
            {case: torch.from_numpy(read_label(case.path)).to(device) for case in labelled},
            device,
        )

    def images(self, drawn: Drawn, patch: Sides) -> Tensor:
        """As ``Source.images``, on the device."""
        batch = torch.empty(len(drawn), 1, *patch, device=self.device)
        for place, (case, crop) in zip(batch, drawn, strict=True):
            place[0] = _cut(self.kept_images[case], crop)
        return batch

    def labels(self, drawn: Drawn, patch: Sides) -> Tensor:
        """As ``Source.labels``, on the device."""
        batch = torch.empty(len(drawn), *patch, dtype=torch.uint8, device=self.device)
        for place, (case, crop) in zip(batch, drawn, strict=True):
            place[:] = _cut(self.kept_labels[case], crop)
        return batch


def _require_room(needed: int, device: torch.device) -> None:
    if device.type != "cuda":
        return
    free = torch.cuda.mem_get_info(device)[0]
    if 2 * needed > free:
        raise UserError(
            f"the training cases take {needed / 2**30:.1f} GiB, more than half of the {free / 2**30:.1f} GiB that are"
            f" free on {device}: set data_on_device of the rule train to 0"
        )


def _cut(volume: Tensor, crop: Crop) -> Tensor:
    """The crop of a volume on the device, rotated and flipped; voxels outside of the volume are 0."""
    low = [max(first, 0) for first in crop.start]
    high = [min(first + side, end) for first, side, end in zip(crop.start, crop.size, volume.shape, strict=True)]
    inside = volume[tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))]
    if inside.shape != crop.size:
        whole = volume.new_zeros(crop.size)
        place = (slice(a - first, a - first + n) for a, first, n in zip(low, crop.start, inside.shape, strict=True))
        whole[tuple(place)] = inside
        inside = whole
    return inside.permute(crop.axes).flip(crop.mirrored)


@dataclass(frozen=True)
class Sampler:
    """Item number ``step`` is the batch of that step, with crops of the cases that ``order`` names.

    Its labels are uint8, and it lies where ``source`` cuts. derive: ``Method.derive``. Raises UserError for strong
    augmentation or a function ``derive``, which need crops in main memory, with crops that are cut on the device.
    """

    labelled: Sequence[StoredCase]
    unlabelled: Sequence[StoredCase]
    order: Order
    patch: Sides
    augmentation: Augmentation
    seed: int
    source: Source = Store(pinned=False)
    derive: Derive | None = None

    def __post_init__(self) -> None:
        reasons = {"strong augmentation": self.augmentation.strong, "maps of the method": self.derive}
        if self.source.on_device and (found := [name for name, value in reasons.items() if value is not None]):
            raise UserError(
                f"{' and '.join(found)} are computed in main memory, but data_on_device cuts crops on the device: set"
                " data_on_device of the rule train to 0"
            )

    def __getitem__(self, step: int) -> Batch:
        known, others = self.order.cases(self.seed, step)
        labelled, unlabelled = self._drawn(step, known, others)
        images, apart = (self.source.images(drawn, self.patch) for drawn in (labelled, unlabelled))
        labels = self.source.labels(labelled, self.patch)
        if self.augmentation.strong is not None:
            self._change(self.augmentation.strong, LABELLED, step, images, labels)
            self._change(self.augmentation.strong, UNLABELLED, step, apart)
        batch = Batch(
            images=images,
            labels=labels,
            unlabelled=apart,
            labelled_origin=_origins(known, labelled),
            unlabelled_origin=_origins(others, unlabelled),
            maps=derived_maps(self.derive, apart),
        )
        rule = self.augmentation.second
        return batch if rule is None else self._with_second(batch, step, (*labelled, *unlabelled), rule)

    def drawn(self, step: int) -> tuple[Drawn, Drawn]:
        """Cases and crops of a step, those of the labelled and those of the unlabelled stream."""
        return self._drawn(step, *self.order.cases(self.seed, step))

    def _drawn(self, step: int, known: Sequence[int], others: Sequence[int]) -> tuple[Drawn, Drawn]:
        return (
            [self._draw(LABELLED, step, slot, self.labelled[number]) for slot, number in enumerate(known)],
            [self._draw(UNLABELLED, step, slot, self.unlabelled[number]) for slot, number in enumerate(others)],
        )

    def _draw(self, stream: int, step: int, slot: int, case: StoredCase) -> tuple[StoredCase, Crop]:
        generator = np.random.default_rng([self.seed, stream, CROP, step, slot])
        return case, draw_crop(generator, case.shape, self.patch, self.augmentation)

    def _with_second(self, batch: Batch, step: int, first: Drawn, rule: str) -> Batch:
        """The batch with a second crop beside each of these."""
        drawn, shifts = [], []
        for slot, (case, crop) in enumerate(first):
            generator = np.random.default_rng([self.seed, SECOND, step, slot])
            other, shift = draw_second(generator, crop, case.shape, self.patch, rule)
            drawn.append((case, other))
            shifts.append(shift)
        return replace(batch, second=self.source.images(drawn, self.patch), shifts=torch.tensor(shifts).reshape(-1, 3))

    def _change(self, strong: Strong, stream: int, step: int, images: Tensor, labels: Tensor | None = None) -> None:
        """Put strongly augmented crops in the place of crops in main memory."""
        for slot, image in enumerate(images.numpy()):
            changes = draw_changes(np.random.default_rng([self.seed, stream, STRONG, step, slot]), strong)
            for channel in image:
                channel[:] = changed_image(channel, changes)
            if labels is not None:
                place = labels.numpy()[slot]
                place[:] = changed_label(place, changes)


def _origins(numbers: Sequence[int], drawn: Drawn) -> Tensor:
    """Case and first voxel of each crop, ``[b 4]`` int64."""
    rows = [(number, *crop.start) for number, (_, crop) in zip(numbers, drawn, strict=True)]
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 4)


def derived_maps(derive: Derive | None, images: Tensor) -> dict[str, Tensor]:
    """What ``Method.derive`` gives for crops ``[u c z y x]`` in main memory, by name, each ``[u ...]``.

    They lie in pinned memory where the images do. Raises UserError where names or shapes differ between crops.
    """
    if derive is None:
        return {}
    found = [derive(image) for image in images.numpy()]
    shapes = [{name: array.shape for name, array in maps.items()} for maps in found]
    for other in shapes:
        if other != shapes[0]:
            raise UserError(
                f"the method derives maps {shapes[0]} from one crop and {other} from another of the same step: its"
                " function derive must give the same names and shapes for every crop"
            )
    names = shapes[0] if shapes else {}
    maps = {name: torch.from_numpy(np.stack([each[name] for each in found])) for name in names}
    return {name: tensor.pin_memory() if images.is_pinned() else tensor for name, tensor in maps.items()}


def batches(sampler: Sampler, first: int, last: int, threads: int, device: torch.device) -> Generator[Batch]:
    """Batches of the steps first..last-1 on the device, prepared ahead by threads; by the caller where there are 0.

    An error of a thread is raised here, at the step of its batch. Close the iterator to end the threads.
    """
    if not threads:
        for step in range(first, last):
            yield sampler[step].to(device)
        return
    upload, steps = _Upload(device), iter(range(first, last))
    with ThreadPoolExecutor(threads, "batches") as pool:
        ahead: deque[Future[_Arriving]] = deque()
        try:
            while True:
                for step in itertools.islice(steps, threads + BATCHES_AHEAD - len(ahead)):
                    ahead.append(pool.submit(upload.begin, sampler, step))
                if not ahead:
                    return
                yield upload.end(ahead.popleft().result())
        finally:
            for each in ahead:
                each.cancel()


@dataclass(frozen=True)
class _Arriving:
    """A batch whose copy to the device has begun; copied: the event at the end of the copy, None on a CPU."""

    batch: Batch
    copied: torch.cuda.Event | None


class _Upload:
    """The way of batches to a device. On a GPU it has a stream of its own, so that no copy waits for a step's work."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def begin(self, sampler: Sampler, step: int) -> _Arriving:
        """Cut the batch of a step and begin its copy; any thread may."""
        batch = sampler[step]
        if self.stream is None:
            return _Arriving(batch.to(self.device), None)
        with torch.cuda.stream(self.stream):
            return _Arriving(batch.to(self.device), self.stream.record_event())

    def end(self, arriving: _Arriving) -> Batch:
        """Let the work that the caller queues from now on wait for the copy; the caller itself does not."""
        if arriving.copied is not None:
            queue = torch.cuda.current_stream(self.device)
            queue.wait_event(arriving.copied)
            for tensor in arriving.batch.tensors():
                tensor.record_stream(queue)  # its memory is not used again before that work has ended
        return arriving.batch
