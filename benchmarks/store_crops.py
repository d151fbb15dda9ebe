"""What a random crop costs that is cut from the prepared store, turned and contiguous: image and label.

It writes an LA-like and two CT-like cases in several ways, and reads the same crops
from each: with ``semiseg.data.store``; through a memory map of the plain arrays, as nnU-Net's former store; by h5py
from contiguous arrays, and from cubes of 16 voxels with the label in gzip, as this store did before; and as
kimjisoo12/GuidedNet and yulequan/UA-MT do, who open a file of gzip HDF5, read both arrays whole and cut. The floor is
a copy in memory. Costs are processor time of warm files, in ms; then bytes that cold crops read from the disk, over
their own bytes. Fails when crops differ.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from measuring import Row, alternate, main
from numpy.typing import NDArray

from semiseg.data import store
from semiseg.data.geometry import Geometry

Sides = tuple[int, int, int]
CASES: dict[str, tuple[Sides, Sides]] = {
    "LA": ((200, 150, 88), (112, 112, 80)),
    "CT 300x256x256": ((300, 256, 256), (64, 128, 128)),
    "CT 110x260x320": ((110, 260, 320), (64, 128, 128)),
}
CROPS, REPEATS = 4, 7
Pair = tuple[NDArray[np.float32], NDArray[np.uint8]]


def made_case(shape: Sides) -> store.PreparedCase:
    """Noise, and four organs as blobs of a few voxels."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=shape).astype(np.float32)
    coarse = rng.integers(0, 5, [-(-side // 8) for side in shape]).astype(np.uint8)
    label = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2)[tuple(map(slice, shape))]
    geometry = Geometry(shape, (1.0, 1.0, 1.0), np.eye(4), "zyx", shape, np.eye(4))
    return store.PreparedCase(image, np.ascontiguousarray(label), geometry)


class Crop:
    """A random box of an array, and the turn and flip of what is read there."""

    def __init__(self, rng: np.random.Generator, shape: Sides, patch: Sides) -> None:
        self.start = [int(rng.integers(0, side - size + 1)) for side, size in zip(shape, patch, strict=True)]
        self.turns, self.flip = int(rng.integers(4)), int(rng.integers(2))
        self.size = patch
        self.box = tuple(slice(first, first + side) for first, side in zip(self.start, patch, strict=True))

    def turned(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.ascontiguousarray(np.flip(np.rot90(array, self.turns), self.flip))

    def room(self, kind: type) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        """A contiguous array for the turned crop, and its view in the order of the store."""
        sides = (self.size[1], self.size[0], self.size[2]) if self.turns % 2 else self.size
        room = np.empty(sides, kind)
        return room, np.rot90(np.flip(room, self.flip), -self.turns)


def ours(path: Path, crop: Crop) -> Pair:
    (image, place), (label, label_place) = crop.room(np.float32), crop.room(np.uint8)
    store.read_image_crop(path, crop.start, crop.size, place)
    store.read_label_crop(path, crop.start, crop.size, label_place)
    return image, label


def copied(case: store.PreparedCase, crop: Crop) -> Pair:
    return crop.turned(case.image[crop.box]), crop.turned(case.label[crop.box])


def mapped(folder: Path, crop: Crop) -> Pair:
    image, label = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("image", "label"))
    return crop.turned(image[crop.box]), crop.turned(label[crop.box])


def by_h5py(path: Path, crop: Crop) -> Pair:
    with h5py.File(path, "r") as file:
        return crop.turned(file["image"][crop.box]), crop.turned(file["label"][crop.box])


def whole(path: Path, crop: Crop) -> Pair:
    with h5py.File(path, "r") as file:
        image, label = file["image"][:], file["label"][:]
    return crop.turned(image[crop.box]), crop.turned(label[crop.box])


def write(folder: Path, case: store.PreparedCase) -> dict[str, Callable[[Crop], Pair]]:
    """Write a case in every way. Returns the readers by name, ours and the floor first."""
    store.write_case(folder / "ours.h5", case)
    np.save(folder / "image.npy", case.image)
    np.save(folder / "label.npy", case.label)
    cubes = {"chunks": (16, 16, 16)}
    with h5py.File(folder / "cubes.h5", "w") as file:
        file.create_dataset("image", data=case.image, **cubes)
        file.create_dataset("label", data=case.label, **cubes, compression="gzip", compression_opts=1)
    with h5py.File(folder / "gzip.h5", "w") as file:
        file.create_dataset("image", data=case.image, compression="gzip")
        file.create_dataset("label", data=case.label, compression="gzip")
    return {
        "ours": partial(ours, folder / "ours.h5"),
        "copy in memory": partial(copied, case),
        "memory map": partial(mapped, folder),
        "h5py, contiguous": partial(by_h5py, folder / "ours.h5"),
        "h5py, 16-cubes, label gzip": partial(by_h5py, folder / "cubes.h5"),
        "whole gzip volumes": partial(whole, folder / "gzip.h5"),
    }


def read_all(read: Callable[[Crop], Pair], crops: Sequence[Crop]) -> None:
    for crop in crops:
        read(crop)


def disk_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes")))


def cold_share(folder: Path, read: Callable[[Crop], Pair], crops: Sequence[Crop]) -> float:
    """Bytes that the disk gives for crops, over their own bytes."""
    given = own = 0
    for crop in crops:
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        before = disk_bytes()
        own += sum(array.nbytes for array in read(crop))
        given += disk_bytes() - before
    return given / own


def rows(tiny: bool) -> list[Row]:
    cases = {"tiny": ((20, 24, 28), (8, 16, 16))} if tiny else CASES
    number, repeats = (1, 1) if tiny else (CROPS, REPEATS)
    found, shares = [], []
    for what, (shape, patch) in cases.items():
        case, rng = made_case(shape), np.random.default_rng(1)
        crops = [Crop(rng, shape, patch) for _ in range(number)]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            readers = write(folder, case)
            for crop in crops:
                for name, read in readers.items():
                    if not all(map(np.array_equal, read(crop), copied(case, crop))):
                        sys.exit(f"{name}: crop at {crop.start} differs")
            warm = [partial(read_all, read, crops) for read in readers.values()]
            costs = alternate(*warm, repeats=repeats, clock=time.process_time)
            cost = {name: 1000 * one / number for name, one in zip(readers, costs, strict=True)}
            mine, floor = cost.pop("ours"), cost.pop("copy in memory")
            found += [
                Row(f"{what}: crop, ms", mine, peer, name, floor, "copy in memory", "at most 2x the floor")
                for name, peer in cost.items()
            ]
            cold = {name: cold_share(folder, read, crops) for name, read in readers.items() if name != "copy in memory"}
            mine, least = cold.pop("ours"), shape[2] / patch[2]
            target = "at most 1.5, or its rows"
            shares += [
                Row(f"{what}: bytes read, cold", mine, peer, name, least, "rows of the crop", target)
                for name, peer in cold.items()
            ]
    return [*found, *shares]


if __name__ == "__main__":
    main(rows)
