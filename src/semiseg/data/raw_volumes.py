"""Image and label map of a raw case. Preparation, evaluation and the check of a split read them here and nowhere else.

What cannot be used is refused by one sentence that names the case, so that no job fails after training for a reason
that was in the file before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel.orientations as orientations
import numpy as np
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.base.volume import Array, Volume
from semiseg.data.geometry import SAME_MM, Affine, farthest_mm, spacing_of
from semiseg.data.labels import whole
from semiseg.dataset import Dataset, RawCase

PIECE = 2**18  # voxels
TURNED = "the label map is stored along other axes than its image, it is turned without interpolation"


def read_raw_image(dataset: Dataset, case: RawCase, raw: Path) -> Volume:
    """The image as stored ``[x y z]``.

    Raises UserError for values that are not finite as float32, for a constant image, and for what its reader refuses.
    """
    image = _read(dataset.read_image, case, raw / case.image)
    low, high = range_of(image.array)
    if not np.isfinite([low, high]).all():
        count = int((~np.isfinite(image.array.astype(np.float32))).sum())
        raise UserError(f"case {case.id}: {case.image} has {count} voxels that are NaN or infinite: repair the file")
    if low == high:
        raise UserError(f"case {case.id}: {case.image} is constant ({low:g}): it holds no picture, fetch it again")
    return image


def range_of(array: Array) -> tuple[float, float]:
    """Lowest and highest value as float32. NaN and infinity appear in them."""
    with np.errstate(over="ignore"):
        low, high = (float(np.float32(value)) for value in (array.min(), array.max()))
    return low, high


def read_raw_label(dataset: Dataset, case: RawCase, raw: Path) -> Volume:
    """The label map as stored ``[x y z]``, uint8, with ids of the dataset's organs.

    Raises UserError for a case without a label, for values that are no whole numbers (``semiseg.data.labels``) or no
    ids of the dataset, for a map without any organ, and for what its reader refuses.
    """
    if case.label is None:
        raise UserError(f"case {case.id} has no label map: only cases with published truth can be scored")
    volume = _read(lambda path: whole(dataset.read_label(path), path), case, raw / case.label)
    label = _ids(dataset, case, np.asarray(volume.array))
    if not label.any():
        raise UserError(
            f"case {case.id}: {case.label} has no labelled voxel: remove the label file if the case is unlabelled"
        )
    return replace(volume, array=label)


def on_grid(case: RawCase, label: Volume, shape: Sequence[int], affine: Affine) -> Volume:
    """The label map on the grid of its image, whose shape and affine are given.

    A label map whose axes run in another order or direction is turned, without interpolation. Raises UserError unless
    both headers then place every voxel within 0.1 mm; the image's affine counts.
    """
    stored, label = label, turned_to(label, affine)
    what = "label" if label is stored else "label, turned to the image's axes,"
    if tuple(shape) != label.array.shape:
        raise UserError(
            f"case {case.id}: image {tuple(shape)} and {what} {label.array.shape} differ in shape: bring both on the "
            "same grid"
        )
    apart = farthest_mm(shape, affine, label.affine)
    if apart > SAME_MM:
        raise UserError(
            f"case {case.id}: {_difference(shape, affine, label.affine, what)}, so their headers place the scan up to "
            f"{apart:.2f} mm apart (at most {SAME_MM} mm is allowed): correct the header that is wrong, and check in a "
            "viewer that the label lies on its organ"
        )
    return replace(label, affine=affine)


def turned_to(label: Volume, affine: Affine) -> Volume:
    """The label map with its axes in the order and directions of a grid with this affine; a turned one has a note."""
    turn = orientations.io_orientation(np.linalg.inv(affine) @ label.affine)
    if np.array_equal(turn, [[0, 1], [1, 1], [2, 1]]):
        return label
    array = np.ascontiguousarray(orientations.apply_orientation(label.array, turn))
    back = orientations.inv_ornt_aff(turn, label.array.shape)
    return Volume(array, label.affine @ back, (*label.notes, TURNED))


def require_listed(case: RawCase, raw: Path, hashes: Mapping[str, str]) -> None:
    """Raise UserError for a file below ``raw`` whose sha256 is not the one that the raw manifest lists."""
    for name, expected in hashes.items():
        if sha256(raw / name) != expected:
            raise UserError(
                f"case {case.id}: {name} is not the file that {raw / 'manifest.json'} lists: restore it, or delete the "
                "manifest and build the raw data again"
            )


def voxels_of(label: NDArray[np.uint8], classes: int) -> list[int]:
    """Voxels of every class.

    Pieces that fit a core's cache are compared with each class that they may hold, which is ten times as fast as
    ``np.bincount``.
    """
    counts = [0] * classes
    flat = label.ravel("K")
    for piece in np.array_split(flat, flat.size // PIECE + 1):
        for number in range(int(piece.max(initial=0)) + 1):
            counts[number] += int(np.count_nonzero(piece == number))
    return counts


def _read(reader: Callable[[Path], Volume], case: RawCase, path: Path) -> Volume:
    try:
        return reader(path)
    except UserError as error:
        raise UserError(f"case {case.id}: {error}") from None


def _ids(dataset: Dataset, case: RawCase, array: Array) -> NDArray[np.uint8]:
    """The map as uint8. Raises UserError if any value is no label id of the dataset."""
    allowed = {0, *(organ.id for organ in dataset.organs)}
    if allowed == set(range(len(allowed))) and array.min() >= 0 and array.max() < len(allowed):
        return array.astype(np.uint8)
    label = np.empty_like(array, np.uint8)
    found: set[int] = set()
    for z in range(array.shape[2]):  # planes keep the temporary arrays of the comparison and the count small
        with np.errstate(invalid="ignore"):
            label[:, :, z] = array[:, :, z]
        if (label[:, :, z] != array[:, :, z]).any():  # beyond a byte
            found |= {int(value) for value in np.unique(array[:, :, z])}
        else:
            found |= set(np.flatnonzero(np.bincount(label[:, :, z].ravel("K"))).tolist())
    wrong = sorted(found - allowed)
    if wrong:
        raise UserError(
            f"case {case.id}: {case.label} has label ids {wrong[:20]}, expected 0..{max(allowed)} of {dataset.name}: "
            "bring this dataset's label map, or map its ids"
        )
    return label


def _difference(shape: Sequence[int], image: Affine, label: Affine, what: str) -> str:
    """The first of spacing, direction and origin that accounts for the distance between two grids of one shape."""
    sides = np.array(shape) - 1
    a, b = np.array(spacing_of(image)), np.array(spacing_of(label))
    if (abs(a - b) * sides).max() > SAME_MM / 2:
        return f"spacing of image ({_shown(a)} mm) and {what} ({_shown(b)} mm) differ"
    rotation = np.linalg.norm((image - label)[:3, :3], axis=0)
    if (rotation * sides).max() > SAME_MM / 2:
        return f"directions of image ({_axes(image)}) and {what} ({_axes(label)}) differ"
    return f"origins of image ({_shown(image[:3, 3])}) and {what} ({_shown(label[:3, 3])}) differ"


def _shown(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.7g}" for value in values)


def _axes(affine: Affine) -> str:
    directions = affine[:3, :3] / np.array(spacing_of(affine))
    return "; ".join(", ".join(f"{value + 0.0:.3g}" for value in axis.round(4)) for axis in directions.T)
