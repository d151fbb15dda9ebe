"""Random crops of a stored case, image and label, beside the patch sampler of torchio and the store of nnU-Net.

Ours is cut from the prepared file. torchio's sampler cuts from volumes that are in memory whole, so its cost has no
file in it. nnU-Net's store is a blosc2 array as nnunetv2 writes and reads it: zstd at level 8, one thread, a memory
map, blocks near the patch's shape that fit into a core's first cache, chunks that fit into its share of the last one.
The floor is a copy in memory. Costs are processor time of warm files, in ms a crop.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from measuring import Row, alternate, is_installed, main

from semiseg.data import store
from semiseg.data.geometry import Geometry

Sides = tuple[int, int, int]
Pair = tuple[np.ndarray, np.ndarray]
CASES: dict[str, tuple[Sides, Sides]] = {
    "LA": ((200, 150, 88), (112, 112, 80)),
    "CT": ((110, 260, 320), (64, 128, 128)),
}
FIRST_CACHE, LAST_CACHE, USED = 32_768, 1_441_792, 0.8  # bytes of a core, and the share that may be filled


def made_case(shape: Sides) -> store.PreparedCase:
    """Smooth anatomy with noise, in four organs."""
    rng, grid = np.random.default_rng(0), np.ogrid[tuple(slice(side) for side in shape)]
    wave = sum(np.sin(axis / 9) for axis in grid)
    image = (wave + 0.05 * rng.normal(size=shape)).astype(np.float32)
    label = np.digitize(wave, (0.5, 1.0, 1.5, 2.0)).astype(np.uint8)
    return store.PreparedCase(image, label, Geometry(shape, (1.0, 1.0, 1.0), np.eye(4), "zyx", shape, np.eye(4)))


def blocks_and_chunks(shape: Sides, patch: Sides, bytes_per_voxel: int) -> tuple[Sides, Sides]:
    """Sides of blosc2's blocks, from the patch by halving, and of its chunks, from the blocks by adding more."""
    blocks = [2 ** math.ceil(math.log2(side)) for side in patch]
    while math.prod(blocks) * bytes_per_voxel > USED * FIRST_CACHE:
        widest = max(range(3), key=lambda axis: blocks[axis] / patch[axis])
        blocks[widest] //= 2
    blocks = [min(block, side) for block, side in zip(blocks, shape, strict=True)]
    chunks = list(blocks)
    while True:
        growing = [axis for axis in range(3) if chunks[axis] < min(shape[axis], 1.5 * patch[axis])]
        if not growing:
            break
        narrowest = min(growing, key=lambda axis: chunks[axis] / blocks[axis])
        more = [side + blocks[axis] * (axis == narrowest) for axis, side in enumerate(chunks)]
        if math.prod(more) * bytes_per_voxel > USED * LAST_CACHE:
            break
        chunks = more
    return tuple(blocks), tuple(min(chunk, side) for chunk, side in zip(chunks, shape, strict=True))


def ours(path: Path, start: Sides, patch: Sides) -> Pair:
    return store.read_image_crop(path, start, patch), store.read_label_crop(path, start, patch)


def copied(case: store.PreparedCase, start: Sides, patch: Sides) -> Pair:
    box = tuple(slice(first, first + side) for first, side in zip(start, patch, strict=True))
    return case.image[box].copy(), case.label[box].copy()


def torchio_reader(case: store.PreparedCase, patch: Sides) -> Callable[[Sides], Pair]:
    """The reader of torchio: its uniform sampler's cut, at a given place."""
    import torch
    import torchio

    subject = torchio.Subject(
        image=torchio.ScalarImage(tensor=torch.from_numpy(case.image)[None]),
        label=torchio.LabelMap(tensor=torch.from_numpy(case.label)[None]),
    )
    sampler = torchio.UniformSampler(patch)

    def read(start: Sides) -> Pair:
        crop = sampler.crop(subject, start, patch)
        return crop["image"].data[0].contiguous().numpy(), crop["label"].data[0].contiguous().numpy()

    return read


def blosc2_reader(folder: Path, case: store.PreparedCase, patch: Sides) -> Callable[[Sides], Pair]:
    """The reader of nnU-Net's store."""
    import blosc2

    blosc2.set_nthreads(1)
    paths = {name: folder / f"{name}.b2nd" for name in ("image", "label")}
    for name, path in paths.items():
        array = getattr(case, name)
        blocks, chunks = blocks_and_chunks(array.shape, patch, array.itemsize)
        packing = {"codec": blosc2.Codec.ZSTD, "clevel": 8, "nthreads": 1}
        blosc2.asarray(array, urlpath=str(path), blocks=blocks, chunks=chunks, cparams=packing, mmap_mode="w+")

    def read(start: Sides) -> Pair:
        box = tuple(slice(first, first + side) for first, side in zip(start, patch, strict=True))
        opened = (blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1}) for path in paths.values())
        image, label = (array[box] for array in opened)
        return image, label

    return read


def read_all(read: Callable[[Sides], Pair], starts: Sequence[Sides]) -> None:
    for start in starts:
        read(start)


def rows(tiny: bool) -> list[Row]:
    cases = {"tiny": ((20, 24, 28), (8, 16, 16))} if tiny else CASES
    found = []
    for what, (shape, patch) in cases.items():
        case, rng = made_case(shape), np.random.default_rng(1)
        starts = [
            tuple(int(rng.integers(0, side - size + 1)) for side, size in zip(shape, patch, strict=True))
            for _ in range(1 if tiny else 8)
        ]
        with tempfile.TemporaryDirectory() as folder:
            stored = Path(folder) / "stored.h5"
            store.write_case(stored, case)
            readers = {
                "ours": partial(ours, stored, patch=patch),
                "copy": partial(copied, case, patch=patch),
                "torchio's patch sampler": torchio_reader(case, patch) if is_installed("torchio") else None,
                "nnU-Net's blosc2 store": blosc2_reader(Path(folder), case, patch) if is_installed("blosc2") else None,
            }
            there = {name: read for name, read in readers.items() if read is not None}
            for start in starts:
                expected = copied(case, start, patch)
                for name, read in there.items():
                    if not all(map(np.array_equal, read(start), expected)):
                        sys.exit(f"{name}: crop at {start} differs")
            calls = [partial(read_all, read, starts) for read in there.values()]
            times = alternate(*calls, repeats=1 if tiny else 9, clock=time.process_time)
        cost = {name: 1000 * each / len(starts) for name, each in zip(there, times, strict=True)}
        for peer in list(readers)[2:]:
            shares = cost["ours"], cost.get(peer), peer, cost["copy"], "copy in memory"
            found.append(Row(f"{what}: crop, ms", *shares, "at most 2x the floor"))
    return found


if __name__ == "__main__":
    main(rows)
