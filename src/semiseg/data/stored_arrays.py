"""The arrays of a stored case: where they lie in its HDF5 file, and reads of boxes of them.

The arrays lie plain in the file. Their places are read once per file and process from its HDF5 structure. A crop is
then copied out of a memory map. It needs its rows from end to end, so it reads its own bytes times the length of a
stored row over that of its own, and at most half as many again. Unless they are in memory already, these bytes are
announced to the system, because by itself it would read up to nine times the crop from a cold disk
(benchmarks/store_crops.py). Then the last byte of each part is read, which waits for the disk without holding Python's
lock, and gives an error where a memory map would end the process by a signal: the file was shortened, or its disk has
vanished.

Each call opens its file, so no handle is shared by processes.
"""

import functools
import itertools
import math
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from semiseg.base.errors import UserError

KINDS: Mapping[str, np.dtype[Any]] = {"label": np.dtype("u1"), "image": np.dtype("<f4")}
KNOWN = 4096  # files whose layout a process remembers
AGAIN = "delete it and run the preparation again"
SHORTENED = "ends too early, because it was shortened while it was read"
NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)  # Linux: read what is in memory, or fail
APART = 2**19  # bytes between two that are looked for in memory
_PLACE = [bytearray(1)]  # for bytes that nobody looks at


@dataclass(frozen=True)
class StoredArray:
    """Where an array lies in its file: first byte, shape and kind."""

    first: int
    shape: tuple[int, int, int]
    kind: np.dtype[Any]

    @property
    def end(self) -> int:
        """The byte behind the array."""
        return self.first + math.prod(self.shape) * self.kind.itemsize


@dataclass(frozen=True)
class OpenFile:
    """An open file. Two are equal when they are the same file with the same content, as far as the system knows."""

    path: Path = field(compare=False)
    handle: int = field(compare=False)
    stamp: tuple[int, int, int, int]  # device, inode, bytes, time of change in ns

    @property
    def arrays(self) -> Mapping[str, StoredArray]:
        """Where the arrays lie, by name. Raises UserError for what is not a stored case."""
        return _arrays_of(self)

    def whole(self, name: str) -> NDArray[Any]:
        """A whole array. Raises UserError where it is missing or cannot be read."""
        stored = self._array(name)
        array = np.empty(stored.shape, stored.kind)
        self._fill(array.data.cast("B"), stored.first)
        return array

    def crop(self, name: str, start: Sequence[int], size: Sequence[int], out: NDArray[Any] | None) -> NDArray[Any]:
        """The box ``start .. start + size`` of an array; voxels outside of it are 0.

        out: is filled and returned in place of a new array; of the box's size, in any order in memory. Raises UserError
        where the array is missing or cannot be read.
        """
        stored = self._array(name)
        if out is None:
            out = np.empty(tuple(size), stored.kind)
        low = [max(first, 0) for first in start]
        high = [min(first + side, end) for first, side, end in zip(start, size, stored.shape, strict=True)]
        sides = [max(b - a, 0) for a, b in zip(low, high, strict=True)]
        if sides != list(size):
            out[...] = 0
        if 0 in sides:
            return out
        inside = out[tuple(slice(a - first, b - first) for a, b, first in zip(low, high, start, strict=True))]
        memory = self._mapped(stored, low, high)
        array = np.ndarray(stored.shape, stored.kind, memory, stored.first)
        inside[...] = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        return out

    def _mapped(self, stored: StoredArray, low: Sequence[int], high: Sequence[int]) -> mmap.mmap:
        """The file as memory up to the end of an array, with the rows of a box at hand."""
        try:
            memory = mmap.mmap(self.handle, stored.end, prot=mmap.PROT_READ)
            memory.madvise(mmap.MADV_RANDOM)  # nothing beside the box
            if self._is_cached(_ends(stored, low, high)):
                return memory
            spans = _spans(stored, low, high)
            for first, count in spans:
                memory.madvise(mmap.MADV_WILLNEED, first, count)
            is_whole = all(os.pread(self.handle, 1, first + count - 1) for first, count in spans)  # waits for them
        except (OSError, ValueError) as error:  # ValueError: the file is shorter
            raise UserError(f"{self.path} cannot be read to its end ({error}): {AGAIN}") from None
        if not is_whole:
            raise UserError(f"{self.path} {SHORTENED}: {AGAIN}")
        return memory

    def _is_cached(self, places: Iterator[int]) -> bool:
        """Whether the bytes at these places are in memory; False, too, where a system or a file cannot say so."""
        if NO_WAIT is None:
            return False
        try:
            os.posix_fadvise(self.handle, 0, 0, os.POSIX_FADV_RANDOM)  # a question makes the system read no more
            return all(os.preadv(self.handle, _PLACE, place, NO_WAIT) for place in places)
        except OSError:
            return False

    def _array(self, name: str) -> StoredArray:
        if name not in self.arrays:
            raise UserError(
                f"{self.path} has no {name} map: only cases with published truth can be learnt from or scored"
            )
        return self.arrays[name]

    def _fill(self, memory: memoryview, first: int) -> None:
        """Read into memory the bytes of the file from ``first`` on. One call may read a part alone."""
        while memory:
            try:
                count = os.preadv(self.handle, [memory], first)
            except OSError as error:
                raise UserError(f"{self.path} cannot be read ({error.strerror}): {AGAIN}") from None
            if not count:
                raise UserError(f"{self.path} {SHORTENED}: {AGAIN}")
            memory, first = memory[count:], first + count


def _ends(stored: StoredArray, low: Sequence[int], high: Sequence[int]) -> Iterator[int]:
    """Bytes that are in memory where the rows of a box are: of its planes in turn the last and the first one.

    A crop before this one was a box, too, so planes beside each other have the same rows in memory. Of planes that are
    smaller than ``APART`` some are left out.
    """
    _, rows, columns = stored.shape
    row = columns * stored.kind.itemsize
    planes = range(high[0] - 1, low[0] - 1, -max(1, APART // (rows * row)))
    for plane, is_last in zip(planes, itertools.cycle((True, False))):
        yield stored.first + (plane * rows + (high[1] if is_last else low[1])) * row - is_last


def _spans(stored: StoredArray, low: Sequence[int], high: Sequence[int]) -> list[tuple[int, int]]:
    """First byte and number of bytes of the rows in a box, plane by plane, from the start of a page on.

    The bytes between two planes are read along where they are fewer than half of what is needed of a plane, because
    the system is then asked once.
    """
    _, rows, columns = stored.shape
    row, page = columns * stored.kind.itemsize, mmap.PAGESIZE
    plane, band = rows * row, (high[1] - low[1]) * row
    first, last = (stored.first + number * plane + low[1] * row for number in (low[0], high[0] - 1))
    if plane - band < max(page, band // 2):
        return [(first // page * page, last + band - first // page * page)]
    return [(begin // page * page, begin % page + band) for begin in range(first, last + 1, plane)]


@functools.lru_cache(KNOWN)
def _arrays_of(file: OpenFile) -> Mapping[str, StoredArray]:
    """Where the arrays lie in a file, read from its HDF5 structure."""
    with as_hdf5(file) as content:
        return {name: _array_of(content[name], name, file.path) for name in KINDS if name in content or name == "image"}


def _array_of(stored: h5py.Dataset, name: str, path: Path) -> StoredArray:
    first = stored.id.get_offset()
    if first is None or stored.ndim != 3 or stored.dtype != KINDS[name]:
        raise UserError(f"{path} holds its {name} packed or in another form, as an earlier version wrote it: {AGAIN}")
    a, b, c = stored.shape
    return StoredArray(int(first), (a, b, c), KINDS[name])


@contextmanager
def as_hdf5(file: OpenFile) -> Iterator[h5py.File]:
    """The open file as HDF5 sees it. Raises UserError where it is none, or lacks what is looked up in the block."""
    try:
        with os.fdopen(file.handle, "rb", closefd=False) as plain, h5py.File(plain, "r") as content:
            yield content
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{file.path} cannot be read as HDF5 ({error}): {AGAIN}") from None


@contextmanager
def opened(path: Path) -> Iterator[OpenFile]:
    """Open a file for the time of a block. Raises UserError where that is not possible."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the preparation again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions and the disk") from None
    try:
        status = os.fstat(handle)
        yield OpenFile(path, handle, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    finally:
        os.close(handle)
