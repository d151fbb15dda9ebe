"""Prepared cases on disk: one HDF5 file per case, whose arrays lie in it plain, so that a crop reads little more.

Datasets: ``image`` float32 and ``label`` uint8 (absent without truth), both in stored axis order, contiguous and not
compressed. Attributes: axes, affine, raw_shape, raw_affine (see ``semiseg.data.geometry``), statistics (JSON), voxels
per class (absent without truth) and made_from (fingerprint of the inputs). Every tool that reads HDF5 opens the file.

HDF5 itself is asked once per file and process where the arrays lie. A crop is then copied out of a memory map. It needs
its rows from end to end, so it reads its own bytes times the length of a stored row over that of its own, and at most
half as many again. The system is told them beforehand, because by itself it would read up to nine times the crop from a
cold disk (benchmarks/store_crops.py). Then the last byte of each part is read, which waits for the disk without holding
Python's lock, and gives an error where a memory map would end the process by a signal: the file was shortened, or its
disk has vanished.

Each call opens its file, so no handle is shared by processes.
"""

import functools
import hashlib
import io
import json
import logging
import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.base.files import atomic
from semiseg.data.geometry import Geometry, spacing_of

KINDS: Mapping[str, np.dtype[Any]] = {"label": np.dtype("u1"), "image": np.dtype("<f4")}
BLOCK = 2**22  # bytes written at a time: Linux keeps a file in larger pages, quicker to map, where writes are large
KNOWN = 4096  # files whose layout a process remembers
ALIGNED = 4096  # bytes: arrays begin on a page, and what is smaller than one anywhere
AGAIN = "delete it and run the preparation again"
SHORTENED = "ends too early, because it was shortened while it was read"

Image = NDArray[np.float32]
Label = NDArray[np.uint8]
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedCase:
    """A case on the protocol's grid, in stored axis order; label None where no truth was published.

    statistics: JSON-like facts of the preparation (percentiles, margins).
    """

    image: Image
    label: Label | None
    geometry: Geometry
    statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Copied:
    """A stored case with a copy of equal content on the node's own disk. The copy is read as long as that works."""

    original: Path
    copy: Path


CaseFile = Path | Copied


def write_case(path: Path, case: PreparedCase, made_from: str = "", voxels: Sequence[int] | None = None) -> str:
    """Write one case atomically; equal cases have equal bytes. Returns the sha256 of the file, hexadecimal.

    made_from: fingerprint of the inputs, by which a later call knows that the case is up to date. voxels: of every
    class, for the index. Raises UserError when the disk is full.
    """
    content = hashlib.sha256()
    with atomic(path) as temporary, temporary.open("wb", buffering=0) as file:
        for piece in _pieces(case, made_from, voxels):
            for first in range(0, len(piece), BLOCK):
                block = piece[first : first + BLOCK]
                content.update(block)
                _write_all(file, block)
    return content.hexdigest()


def read_image_crop(case: CaseFile, start: Sequence[int], size: Sequence[int], out: Image | None = None) -> Image:
    """The box ``start .. start + size`` of the image in stored axis order; voxels outside the array are 0.

    out: an array of that size, in any order in memory, which is filled and returned in place of a new one. The view
    of a turned and flipped array makes turning cost nothing.
    """
    return _read(case, lambda file: file.crop("image", start, size, out))


def read_label_crop(case: CaseFile, start: Sequence[int], size: Sequence[int], out: Label | None = None) -> Label:
    """The same box of the label map. Raises UserError for a case without a label."""
    return _read(case, lambda file: file.crop("label", start, size, out))


def read_image(case: CaseFile) -> Image:
    """The whole image in stored axis order."""
    return _read(case, lambda file: file.whole("image"))


def read_label(case: CaseFile) -> Label:
    """The whole label map in stored axis order. Raises UserError for a case without a label."""
    return _read(case, lambda file: file.whole("label"))


def read_geometry(path: Path) -> Geometry:
    """Grid of the stored arrays and of the raw scan."""
    with _attributes(path) as (attributes, shape):
        affine, raw_affine = attributes["affine"], attributes["raw_affine"]
        a, b, c = (int(side) for side in attributes["raw_shape"])
        return Geometry(shape, spacing_of(affine), affine, str(attributes["axes"]), (a, b, c), raw_affine)


def read_statistics(path: Path) -> dict[str, Any]:
    """Facts that the preparation noted about this case."""
    with _attributes(path) as (attributes, _):
        statistics: dict[str, Any] = json.loads(attributes["statistics"])
    return statistics


def read_voxels(path: Path) -> list[int] | None:
    """Voxels of every class as the preparation counted them; None without a label."""
    with _attributes(path) as (attributes, _):
        return [int(count) for count in attributes["voxels"]] if "voxels" in attributes else None


def read_made_from(path: Path) -> str:
    """Fingerprint of what the case was made from."""
    with _attributes(path) as (attributes, _):
        return str(attributes["made_from"])


# --- writing ---------------------------------------------------------------------------------------------------------


def _pieces(case: PreparedCase, made_from: str, voxels: Sequence[int] | None) -> Iterator[memoryview]:
    """The bytes of the file in their order. HDF5 writes all but the arrays, which are not copied.

    The image comes last, because HDF5 keeps zeros in memory for an array that more follows.
    """
    arrays = {name: array for name, array in (("label", case.label), ("image", case.image)) if array is not None}
    buffer, places = io.BytesIO(), dict[str, int]()
    with h5py.File(buffer, "w", alignment_threshold=ALIGNED, alignment_interval=ALIGNED) as file:
        file.attrs["axes"] = case.geometry.axes
        file.attrs["affine"] = case.geometry.affine
        file.attrs["raw_shape"] = case.geometry.raw_shape
        file.attrs["raw_affine"] = case.geometry.raw_affine
        file.attrs["statistics"] = json.dumps(dict(case.statistics), sort_keys=True)
        file.attrs["made_from"] = made_from
        if voxels is not None:
            file.attrs["voxels"] = np.asarray(voxels, np.int64)
        for name, array in arrays.items():
            places[name] = _placed(file, name, array.shape)
    frame, end = buffer.getbuffer(), 0
    for name, first in places.items():
        array = np.ascontiguousarray(arrays[name], KINDS[name])
        yield memoryview(bytes(frame[end:first]).ljust(first - end, b"\0"))
        yield array.data.cast("B")
        end = first + array.nbytes
    yield frame[end:]


def _placed(file: h5py.File, name: str, shape: Sequence[int]) -> int:
    """Reserve the place of an array in the file, in one piece. Returns its first byte."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)  # equal cases have equal bytes at any time
    kind, space = h5py.h5t.py_create(KINDS[name], logical=True), h5py.h5s.create_simple(tuple(shape))
    return int(h5py.h5d.create(file.id, name.encode(), kind, space, layout).get_offset())


def _write_all(file: io.FileIO, block: memoryview) -> None:
    """Write all bytes; a disk that is nearly full takes a part at a time."""
    while block:
        block = block[file.write(block) :]


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Array:
    """Where an array lies in its file: first byte, shape and kind."""

    first: int
    shape: tuple[int, int, int]
    kind: np.dtype[Any]

    @property
    def end(self) -> int:
        """The byte behind the array."""
        return self.first + math.prod(self.shape) * self.kind.itemsize


@dataclass(frozen=True)
class _OpenFile:
    """An open file. Two are equal when they are the same file with the same content, as far as the system knows."""

    path: Path = field(compare=False)
    handle: int = field(compare=False)
    stamp: tuple[int, int, int, int]  # device, inode, bytes, time of change in ns

    @property
    def arrays(self) -> Mapping[str, _Array]:
        return _arrays_of(self)

    def whole(self, name: str) -> NDArray[Any]:
        """A whole array."""
        stored = self._array(name)
        array = np.empty(stored.shape, stored.kind)
        self._fill(array.data.cast("B"), stored.first)
        return array

    def crop(self, name: str, start: Sequence[int], size: Sequence[int], out: NDArray[Any] | None) -> NDArray[Any]:
        """Read the part of the box that lies inside; zeros elsewhere."""
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
        memory = self._mapped(stored.end, _spans(stored, low, high))
        array = np.ndarray(stored.shape, stored.kind, memory, stored.first)
        inside[...] = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        return out

    def _mapped(self, end: int, spans: Sequence[tuple[int, int]]) -> mmap.mmap:
        """The file as memory up to a byte, with the bytes of these spans at hand."""
        try:
            memory = mmap.mmap(self.handle, end, prot=mmap.PROT_READ)
            memory.madvise(mmap.MADV_RANDOM)  # nothing beside the spans
            for first, count in spans:
                memory.madvise(mmap.MADV_WILLNEED, first, count)
            is_whole = all(os.pread(self.handle, 1, first + count - 1) for first, count in spans)  # waits for them
        except (OSError, ValueError) as error:  # ValueError: the file is shorter
            raise UserError(f"{self.path} cannot be read to its end ({error}): {AGAIN}") from None
        if not is_whole:
            raise UserError(f"{self.path} {SHORTENED}: {AGAIN}")
        return memory

    def _array(self, name: str) -> _Array:
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


def _spans(stored: _Array, low: Sequence[int], high: Sequence[int]) -> list[tuple[int, int]]:
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
def _arrays_of(file: _OpenFile) -> Mapping[str, _Array]:
    """Where the arrays lie in a file. Raises UserError for what is not a stored case."""
    with _as_hdf5(file) as content:
        return {name: _array_of(content[name], name, file.path) for name in KINDS if name in content or name == "image"}


def _array_of(stored: h5py.Dataset, name: str, path: Path) -> _Array:
    first = stored.id.get_offset()
    if first is None or stored.ndim != 3 or stored.dtype != KINDS[name]:
        raise UserError(f"{path} holds its {name} packed or in another form, as an earlier version wrote it: {AGAIN}")
    a, b, c = stored.shape
    return _Array(int(first), (a, b, c), KINDS[name])


@contextmanager
def _attributes(path: Path) -> Iterator[tuple[Mapping[str, Any], tuple[int, int, int]]]:
    """The attributes of a case, and the shape of its arrays."""
    with _opened(path) as file:
        shape = file.arrays["image"].shape
        with _as_hdf5(file) as content:
            yield content.attrs, shape


@contextmanager
def _as_hdf5(file: _OpenFile) -> Iterator[h5py.File]:
    """The open file as HDF5 sees it. Raises UserError where it is none, or lacks what is looked up in the block."""
    try:
        with os.fdopen(file.handle, "rb", closefd=False) as plain, h5py.File(plain, "r") as content:
            yield content
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{file.path} cannot be read as HDF5 ({error}): {AGAIN}") from None


@contextmanager
def _opened(path: Path) -> Iterator[_OpenFile]:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the preparation again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions and the disk") from None
    try:
        status = os.fstat(handle)
        yield _OpenFile(path, handle, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    finally:
        os.close(handle)


_LOST: set[Path] = set()  # folders in which a copy could not be read, as this process has logged


def _read(case: CaseFile, read: Callable[[_OpenFile], Result]) -> Result:
    """What a function reads of a case: of its copy, and of the original where the copy cannot be read."""
    if isinstance(case, Copied):
        try:
            return _read(case.copy, read)
        except UserError:
            if case.copy.parent not in _LOST:
                logger.warning(
                    f"warning: the copy {case.copy} cannot be read, so cases are read from {case.original.parent}, "
                    "where they have the same bits"
                )
            _LOST.add(case.copy.parent)
        case = case.original
    with _opened(case) as file:
        return read(file)
