"""What a training batch costs to prepare, for the published crops and batches of three families.

``python benchmarks/batches.py`` writes cases of typical size into the prepared store and prepares batches: as training
does, and as the official loaders do, who read whole volumes (here from plain HDF5), turn them and cut. UA-MT's and
GuidedNet's turn before the cut, DHC's after it. The floor is a copy in memory of the same crops, turned and contiguous.
Costs are processor time of warm files in ms per batch. A second table has the parts of a batch over the same floor.
Fails where a batch costs more than twice the floor.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from measuring import Row, alternate, print_rows
from numpy.typing import NDArray

from semiseg.data.geometry import Geometry
from semiseg.data.store import PreparedCase, read_image_crop, write_case
from semiseg.learning.batches import KeptOnDevice, Sampler, StoredCase
from semiseg.learning.crops import Crop, as_stored
from semiseg.learning.order import Order
from semiseg.params.reading import read

ROOT = Path(__file__).parents[1]
SHAPES = {"la": (200, 150, 88), "dhc": (80, 160, 160), "guidednet": (110, 260, 320)}
CASES, STEPS, REPEATS, ALLOWED = 2, 5, 9, 2.0  # cases of each stream; steps per measurement
ArraysOf = dict[StoredCase, tuple[NDArray[np.float32], NDArray[np.uint8]]]
Pair = tuple[list[NDArray[np.generic]], list[NDArray[np.generic]]]


def written(folder: Path, name: str) -> tuple[Sampler, ArraysOf]:
    """Cases of noise in the store, sampled by a protocol's crops, batch and augmentation; and their arrays."""
    training, shape, arrays = read(ROOT / "params.yaml").protocols[name].training, SHAPES[name], {}
    rng, grid = np.random.default_rng(0), Geometry(shape, (1.0, 1.0, 1.0), np.eye(4), "zyx", shape, np.eye(4))
    for number in range(2 * CASES):
        image, label = rng.normal(size=shape).astype(np.float32), rng.integers(0, 5, shape).astype(np.uint8)
        case = StoredCase(folder / f"{name}{number}.h5", shape)
        write_case(case.path, PreparedCase(image, label, grid))
        arrays[case] = image, label
    cases, order = list(arrays), Order("endless", CASES, CASES, training.batch, training.epoch)
    return Sampler(cases[:CASES], cases[CASES:], order, training.patch, training.augmentation, seed=1), arrays


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


def milliseconds(*prepares: Callable[[int], object]) -> list[float]:
    """Processor time of each per batch, in ms."""
    costs = alternate(*map(each_step, prepares), repeats=REPEATS, clock=time.process_time)
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


def main() -> None:
    """Measure, print both tables, and judge."""
    torch.set_num_threads(1)
    rows, dear = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in SHAPES:
            sampler, arrays = written(Path(folder), name)
            cpu = torch.device("cpu")
            kept = replace(sampler, source=KeptOnDevice.of(sampler.labelled, sampler.unlabelled, cpu))
            calls = {
                "ours": lambda step, sampler=sampler: sampler[step],
                "peer": lambda step, sampler=sampler: whole(sampler, step),
                "floor": lambda step, sampler=sampler, arrays=arrays: copied(sampler, arrays, step),
                "kept": lambda step, kept=kept: kept[step],
                **(parts(sampler) if name == "la" else {}),
            }
            cost = dict(zip(calls, milliseconds(*calls.values()), strict=True))
            size = sampler.order.size
            title = f"batch of {size.labelled} + {size.unlabelled} crops, {name} (ms)"
            target = "at most 2x a copy" + ("; at most 10 ms" if name == "la" else "")
            floor = (cost["floor"], "copy in memory")
            rows.append(Row(title, cost["ours"], cost["peer"], "whole volumes", *floor, target))
            rows.append(Row(f"{title}, cases kept on the CPU", cost["kept"], cost["peer"], "whole volumes", *floor))
            if name == "la":
                shares = [
                    Row(f"la: {part}", cost[part], cost["ours"], "a whole batch", *floor) for part in parts(sampler)
                ]
            if cost["ours"] > ALLOWED * cost["floor"]:
                dear.append(title)
    print_rows([*rows, *shares])
    if dear:
        sys.exit(f"above {ALLOWED} times a copy in memory: {', '.join(dear)}")


if __name__ == "__main__":
    main()
