"""Prepared cases on disk: one HDF5 file per case, chunked so that random crops read little more than themselves.

Datasets: ``image`` float32 and ``label`` uint8 (absent without truth), both in stored axis order. Attributes: axes,
affine, raw_shape, raw_affine (see ``semiseg.data.geometry``), statistics (JSON) and made_from (fingerprint of the
inputs).

Each call opens its file: that costs about a third of a millisecond, and no handle is shared by processes.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.base.files import atomic
from semiseg.data.geometry import Geometry, spacing_of

CHUNK = 16  # voxels per side; this and what is compressed was chosen by benchmarks/store_crops.py
# gzip and not lzf, whose bytes depend on uninitialised memory: equal cases must have equal hashes
PACKED: Mapping[str, Mapping[str, Any]] = {"image": {}, "label": {"compression": "gzip", "compression_opts": 1}}

Image = NDArray[np.float32]
Label = NDArray[np.uint8]


@dataclass(frozen=True)
class PreparedCase:
    """A case on the protocol's grid, in stored axis order; label None where no truth was published.

    statistics: JSON-like facts of the preparation (percentiles, margins).
    """

    image: Image
    label: Label | None
    geometry: Geometry
    statistics: Mapping[str, Any] = field(default_factory=dict)


def write_case(path: Path, case: PreparedCase, made_from: str = "") -> None:
    """Write one case atomically; equal cases have equal bytes. Raises UserError when the disk is full.

    made_from: fingerprint of the inputs, by which a later call knows that the case is up to date.
    """
    buffer = io.BytesIO()  # HDF5 reports a full disk late and in several ways, a plain write at once
    with h5py.File(buffer, "w") as file:
        _add(file, "image", case.image, np.float32)
        if case.label is not None:
            _add(file, "label", case.label, np.uint8)
        file.attrs["axes"] = case.geometry.axes
        file.attrs["affine"] = case.geometry.affine
        file.attrs["raw_shape"] = case.geometry.raw_shape
        file.attrs["raw_affine"] = case.geometry.raw_affine
        file.attrs["statistics"] = json.dumps(dict(case.statistics), sort_keys=True)
        file.attrs["made_from"] = made_from
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_image_crop(path: Path, start: Sequence[int], size: Sequence[int]) -> Image:
    """The box ``start .. start + size`` of the image in stored axis order; voxels outside the array are 0."""
    with _opened(path) as file:
        return _crop(file["image"], start, size)


def read_label_crop(path: Path, start: Sequence[int], size: Sequence[int]) -> Label:
    """The same box of the label map. Raises UserError for a case without a label."""
    with _opened(path) as file:
        return _crop(_label(file, path), start, size)


def read_image(path: Path) -> Image:
    """The whole image in stored axis order."""
    with _opened(path) as file:
        image: Image = file["image"][()]
    return image


def read_label(path: Path) -> Label:
    """The whole label map in stored axis order. Raises UserError for a case without a label."""
    with _opened(path) as file:
        label: Label = _label(file, path)[()]
    return label


def has_label(path: Path) -> bool:
    """Whether the case has a label map."""
    with _opened(path) as file:
        return "label" in file


def read_geometry(path: Path) -> Geometry:
    """Grid of the stored arrays and of the raw scan."""
    with _opened(path) as file:
        affine, raw_affine = file.attrs["affine"], file.attrs["raw_affine"]
        a, b, c = (int(side) for side in file.attrs["raw_shape"])
        axes = str(file.attrs["axes"])
        return Geometry(file["image"].shape, spacing_of(affine), affine, axes, (a, b, c), raw_affine)


def read_statistics(path: Path) -> dict[str, Any]:
    """Facts that the preparation noted about this case."""
    with _opened(path) as file:
        statistics: dict[str, Any] = json.loads(file.attrs["statistics"])
    return statistics


def read_made_from(path: Path) -> str:
    """Fingerprint of what the case was made from."""
    with _opened(path) as file:
        return str(file.attrs["made_from"])


def _add(file: h5py.File, name: str, array: NDArray[Any], kind: type[np.generic]) -> None:
    chunks = tuple(min(CHUNK, side) for side in array.shape)
    file.create_dataset(name, data=np.ascontiguousarray(array, kind), chunks=chunks, **PACKED[name])


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path, "r", locking=False)  # many readers, no writer: locks only fail on network disks
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the preparation again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read as HDF5 ({error}): delete it and run the preparation again") from None
    with file:
        yield file


def _label(file: h5py.File, path: Path) -> h5py.Dataset:
    if "label" not in file:
        raise UserError(f"{path} has no label map: only cases with published truth can be learnt from or scored")
    return file["label"]


def _crop(stored: h5py.Dataset, start: Sequence[int], size: Sequence[int]) -> NDArray[Any]:
    """Read the part of the box that lies inside; zeros elsewhere."""
    crop = np.zeros(tuple(size), stored.dtype)
    low = [max(first, 0) for first in start]
    high = [min(first + side, end) for first, side, end in zip(start, size, stored.shape, strict=True)]
    if all(a < b for a, b in zip(low, high, strict=True)):
        inside = tuple(slice(a - first, b - first) for a, b, first in zip(low, high, start, strict=True))
        crop[inside] = stored[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return crop
