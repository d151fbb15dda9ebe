"""What a training batch costs to prepare, for the published crops and batches of three families.

Cases of typical size are written into the prepared store, and batches are prepared as training does, and as the
official loaders do, who read whole volumes (here from plain HDF5), turn them and cut. UA-MT's and GuidedNet's turn
before the cut, DHC's after it. The floor is a copy in memory of the same crops, turned and contiguous; the crops must
be equal. Costs are processor time of warm files in ms per batch. The last rows are parts of a batch.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
from measuring import Row, alternate, main
from numpy.typing import NDArray

from semiseg.data.geometry import Geometry
from semiseg.data.store import PreparedCase, read_image_crop, write_case
from semiseg.learning.batches import KeptOnDevice, Sampler, StoredCase
from semiseg.learning.crops import Crop, as_stored
from semiseg.learning.order import Order
from semiseg.params.reading import read

ROOT = Path(__file__).parents[1]
SHAPES = {"la": (200, 150, 88), "dhc": (80, 160, 160), "guidednet": (110, 260, 320)}
TINY = (20, 24, 18), (16, 16, 16)  # shape and patch
CASES, STEPS = 2, 5  # cases of each stream; steps per measurement
ArraysOf = dict[StoredCase, tuple[NDArray[np.float32], NDArray[np.uint8]]]
Pair = tuple[list[NDArray[np.generic]], list[NDArray[np.generic]]]


def written(folder: Path, name: str, tiny: bool) -> tuple[Sampler, ArraysOf]:
    """Cases of noise in the store, sampled by a protocol's crops, batch and augmentation; and their arrays."""
    training, arrays = read(ROOT / "params.yaml").protocols[name].training, {}
    shape, patch = TINY if tiny else (SHAPES[name], training.patch)
    rng, grid = np.random.default_rng(0), Geometry(shape, (1.0, 1.0, 1.0), np.eye(4), "zyx", shape, np.eye(4))
    for number in range(2 * CASES):
        image, label = rng.normal(size=shape).astype(np.float32), rng.integers(0, 5, shape).astype(np.uint8)
        case = StoredCase(folder / f"{name}{number}.h5", shape)
        write_case(case.path, PreparedCase(image, label, grid))
        arrays[case] = image, label
    cases, order = list(arrays), Order("endless", CASES, CASES, training.batch, training.epoch)
    return Sampler(cases[:CASES], cases[CASES:], order, patch, training.augmentation, seed=1), arrays


def cut(array: NDArray[np.generic], start: Sequence[int], size: Sequence[int]) -> NDArray[np.generic]:
    """A box of an array; voxels outside are 0."""
    low = [max(first, 0) for first in start]
    inside = array[tuple(slice(a, max(first + side, a)) for a, first, side in zip(low, start, size, strict=True))]
    if inside.shape == tuple(size):
        return inside
    box = np.zeros(size, array.dtype)
    box[tuple(slice(a - first, a - first + n) for a, first, n in zip(low, start, inside.shape, strict=True))] = inside
    return box


def turned(array: NDArray[np.generic], crop: Crop) -> NDArray[np.generic]:
    """As the official loaders turn: numpy's functions, one after the other."""
    return np.flip(np.rot90(array, crop.rotations, (0, 1)), crop.flips)


def copied(sampler: Sampler, arrays: ArraysOf, step: int) -> Pair:
    """The same crops copied in memory."""
    found: Pair = ([], [])
    for stream, drawn in enumerate(sampler.drawn(step)):
        for case, crop in drawn:
            for kind in (0, 1) if stream == 0 else (0,):
                box = cut(arrays[case][kind], crop.start, crop.size)
                found[kind].append(np.ascontiguousarray(turned(box, crop)))
    return found


def whole(sampler: Sampler, step: int) -> Pair:
    """Crops as the official loaders cut them; the place of a crop, which costs nothing, is the first corner."""
    found: Pair = ([], [])
    for drawn in sampler.drawn(step):
        for case, crop in drawn:  # these loaders read the labels of unlabelled cases too
            for kind, name in enumerate(("image", "label")):
                with h5py.File(case.path, "r") as file:
                    array = file[name][()]
                if sampler.augmentation.crop == "first":
                    found[kind].append(turned(cut(array, (0, 0, 0), sampler.patch), crop))
                else:
                    found[kind].append(cut(turned(array, crop), (0, 0, 0), sampler.patch))
    return [np.stack(found[0])], [np.stack(found[1]).astype(np.int64)]


def each_step(prepare: Callable[[int], object]) -> Callable[[], None]:
    """A call that prepares the batches of some steps."""
    return lambda: [prepare(step) for step in range(STEPS)] and None


def milliseconds(prepares: Iterable[Callable[[int], object]], tiny: bool) -> list[float]:
    """Processor time of each per batch, in ms."""
    costs = alternate(*map(each_step, prepares), repeats=1 if tiny else 9, clock=time.process_time)
    return [1000 * cost / STEPS for cost in costs]


def parts(sampler: Sampler) -> dict[str, Callable[[int], object]]:
    """What a batch consists of, one after the other."""
    place, label = torch.empty(sampler.patch).numpy(), torch.zeros(2, *sampler.patch, dtype=torch.uint8)

    def images(step: int, *, turn: bool) -> None:
        for drawn in sampler.drawn(step):
            for case, crop in drawn:
                read_image_crop(case.path, crop.start, crop.size, as_stored(place, crop) if turn else None)

    return {
        "cases and crops drawn": sampler.drawn,
        "the same, and images read as stored": lambda step: images(step, turn=False),
        "the same, and images turned into one place": lambda step: images(step, turn=True),
        "labels to int64, on a CPU": lambda step: label.long(),
    }


def check(sampler: Sampler, arrays: ArraysOf) -> None:
    """End with an error where a batch differs from the copied crops."""
    batch, (images, labels) = sampler[0], copied(sampler, arrays, 0)
    same = np.array_equal(torch.cat([batch.images, batch.unlabelled])[:, 0], images) and np.array_equal(
        batch.labels, labels
    )
    if not same:
        sys.exit("crops of a batch differ from the cases")


def rows(tiny: bool) -> list[Row]:
    torch.set_num_threads(1)
    found, shares, cpu = [], [], torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        for name in SHAPES:
            sampler, arrays = written(Path(folder), name, tiny)
            check(sampler, arrays)
            kept = replace(sampler, source=KeptOnDevice.of(sampler.labelled, sampler.unlabelled, cpu))
            of_batch = parts(sampler) if name == "la" else {}
            calls = {
                "ours": sampler.__getitem__,
                "peer": partial(whole, sampler),
                "floor": partial(copied, sampler, arrays),
                "kept": kept.__getitem__,
                **of_batch,
            }
            cost = dict(zip(calls, milliseconds(calls.values(), tiny), strict=True))
            size, floor = sampler.order.size, (cost["floor"], "copy in memory")
            title = f"batch of {size.labelled} + {size.unlabelled} crops, {name}"
            peer = cost["peer"], "whole volumes"
            target = "at most 10 ms and 2x the floor" if name == "la" else "at most 2x the floor"
            found.append(Row(f"{title}: ms", cost["ours"], *peer, *floor, target))
            found.append(Row(f"{title}, cases kept on the CPU: ms", cost["kept"], *peer, *floor))
            shares += [
                Row(f"{name}, {part}: ms", cost[part], cost["ours"], "a whole batch", *floor) for part in of_batch
            ]
    return [*found, *shares]


if __name__ == "__main__":
    main(rows)
