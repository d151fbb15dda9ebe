"""Prepared cases on disk: one HDF5 file per case, whose arrays lie in it plain, so that a crop reads little more.

Datasets: ``image`` float32 and ``label`` uint8 (absent without truth), both in stored axis order, contiguous and not
compressed. Attributes: axes, affine, raw_shape, raw_affine (see ``semiseg.data.geometry``), statistics (JSON), voxels
per class (absent without truth) and made_from (fingerprint of the inputs). Every tool that reads HDF5 opens the file.
``semiseg.data.stored_arrays`` reads crops and whole arrays, with the reasons for this form.
"""

import hashlib
import io
import json
import logging
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
from semiseg.data.stored_arrays import KINDS, OpenFile, as_hdf5, opened

BLOCK = 2**22  # bytes written at a time: Linux keeps a file in larger pages, quicker to map, where writes are large
ALIGNED = 4096  # bytes: arrays begin on a page, and what is smaller than one anywhere

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


@contextmanager
def _attributes(path: Path) -> Iterator[tuple[Mapping[str, Any], tuple[int, int, int]]]:
    """The attributes of a case, and the shape of its arrays."""
    with opened(path) as file:
        shape = file.arrays["image"].shape
        with as_hdf5(file) as content:
            yield content.attrs, shape


_LOST: set[Path] = set()  # folders in which a copy could not be read, as this process has logged


def _read(case: CaseFile, read: Callable[[OpenFile], Result]) -> Result:
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
    with opened(case) as file:
        return read(file)
