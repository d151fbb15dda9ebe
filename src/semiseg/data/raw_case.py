"""Reading a raw case for preparation. What cannot be used is refused by one sentence that names the case."""

import logging
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.base.volume import Array, Volume
from semiseg.data.checks import intensity_caveat, organ_caveat
from semiseg.data.preparation import Scan
from semiseg.data.store import Label
from semiseg.dataset import Dataset, RawCase

logger = logging.getLogger(__name__)

SHIFT_MM = 0.1  # image and label grids that differ by no more than this are the same


def read_case(dataset: Dataset, case: RawCase, raw: Path) -> Scan:
    """Read a raw case: image float32, label uint8, both ``[x y z]`` on one grid.

    Raises UserError for what would spoil training; a caveat (``semiseg.data.checks``) is printed as a warning.
    """
    image = _read(dataset.read_image, case, raw / case.image)
    low, high = _checked_range(case, image.array)
    modality = dataset.modality if dataset.modality_of is None else dataset.modality_of(case.id)
    _warn(case, intensity_caveat(modality, low, high))
    label = None
    if case.label is not None:
        volume = _read(dataset.read_label, case, raw / case.label)
        _check_same_grid(case, image, volume)
        label = _checked_label(dataset, case, volume.array)
    return Scan(case.id, np.asarray(image.array, np.float32), label, image.affine)


def _read(reader: Callable[[Path], Volume], case: RawCase, path: Path) -> Volume:
    try:
        return reader(path)
    except UserError as error:
        raise UserError(f"case {case.id}: {error}") from None


def _checked_range(case: RawCase, array: Array) -> tuple[float, float]:
    """Lowest and highest value as float32. NaN and infinity appear in them, so that good scans need no third pass."""
    with np.errstate(over="ignore"):
        low, high = (float(np.float32(value)) for value in (array.min(), array.max()))
    if not np.isfinite([low, high]).all():
        count = int((~np.isfinite(array.astype(np.float32))).sum())
        raise UserError(f"case {case.id}: {case.image} has {count} voxels that are NaN or infinite: repair the file")
    if low == high:
        raise UserError(f"case {case.id}: {case.image} is constant ({low:g}): it holds no picture, fetch it again")
    return low, high


def _warn(case: RawCase, caveat: str | None) -> None:
    if caveat is not None:
        logger.warning(f"warning: case {case.id}: {caveat}")


def _check_same_grid(case: RawCase, image: Volume, label: Volume) -> None:
    if image.array.shape != label.array.shape:
        raise UserError(
            f"case {case.id}: image {image.array.shape} and label {label.array.shape} differ in shape: "
            "bring both on the same grid"
        )
    corners = np.array([[*corner, 1] for corner in product(*[(0, side - 1) for side in image.array.shape])]).T
    apart = float(np.sqrt((((image.affine - label.affine) @ corners)[:3] ** 2).sum(0)).max())
    if apart > SHIFT_MM:
        raise UserError(
            f"case {case.id}: {_difference(image, label)}, so their headers place the scan up to {apart:.2f} mm apart "
            f"(at most {SHIFT_MM} mm is allowed): correct the headers"
        )


def _difference(image: Volume, label: Volume) -> str:
    """The first of spacing, direction and origin that accounts for the distance between two grids of one shape."""
    sides = np.array(image.array.shape) - 1
    a, b = np.array(image.spacing_mm), np.array(label.spacing_mm)
    if (abs(a - b) * sides).max() > SHIFT_MM / 2:
        return f"spacing of image ({_shown(a)} mm) and label ({_shown(b)} mm) differ"
    rotation = np.linalg.norm((image.affine - label.affine)[:3, :3], axis=0)
    if (rotation * sides).max() > SHIFT_MM / 2:
        return f"directions of image ({_axes(image)}) and label ({_axes(label)}) differ"
    return f"origins of image ({_shown(image.affine[:3, 3])}) and label ({_shown(label.affine[:3, 3])}) differ"


def _shown(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _axes(volume: Volume) -> str:
    directions = volume.affine[:3, :3] / np.array(volume.spacing_mm)
    return "; ".join(", ".join(f"{value + 0.0:.3g}" for value in axis.round(4)) for axis in directions.T)


def _checked_label(dataset: Dataset, case: RawCase, array: Array) -> Label:
    """The label map as uint8, once its ids are known to be the dataset's."""
    label = np.empty_like(array, np.uint8)
    counts = np.zeros(256, np.int64)
    for z in range(array.shape[2]):  # slices keep the temporary arrays of the comparison and the count small
        with np.errstate(invalid="ignore"):
            label[:, :, z] = array[:, :, z]
        if (label[:, :, z] != array[:, :, z]).any():
            _refuse_ids(dataset, case, np.unique(array))
        counts += np.bincount(label[:, :, z].ravel("K"), minlength=256)
    _refuse_ids(dataset, case, np.flatnonzero(counts))
    if not counts[1:].any():
        raise UserError(
            f"case {case.id}: {case.label} has no labelled voxel: remove the label file if the case is unlabelled"
        )
    _warn(case, organ_caveat(dataset.organs, [int(count) for count in counts]))
    return label


def _refuse_ids(dataset: Dataset, case: RawCase, found: Array) -> None:
    """Raise UserError if any of these values is no label id of the dataset."""
    fractions = [f"{value:g}" for value in found if not np.isfinite(value) or value != np.rint(value)]
    if fractions:
        raise UserError(
            f"case {case.id}: {case.label} has labels that are no integers ({', '.join(fractions[:5])}): export "
            "it again"
        )
    allowed = {0, *(organ.id for organ in dataset.organs)}
    wrong = [int(value) for value in found if int(value) not in allowed]
    if wrong:
        raise UserError(
            f"case {case.id}: {case.label} has label ids {wrong[:20]}, expected 0..{max(allowed)} of {dataset.name}: "
            "bring this dataset's label map, or map its ids"
        )
