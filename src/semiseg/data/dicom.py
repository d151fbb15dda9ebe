"""DICOM series as one volume (see ``semiseg.data.images``). A slice that does not fit is refused by its name."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.files import is_full
from semiseg.base.volume import Array, Volume
from semiseg.data.arrival.archives import members
from semiseg.data.images import DAMAGED, LPS_TO_RAS, checked, require

# Slice distances are uniform if they differ from their median by at most this fraction or so many mm, because stored
# positions are rounded
GAP, GAP_MM = 0.1, 0.11
DRIFT = 0.5  # fraction of a slice distance by which a slice may lie off the uniform grid
SHEAR = 0.01  # fraction of a slice distance by which slices may move sideways (a tilted gantry moves them further)


def read_dicom(path: Path) -> Volume:
    """Read one series of single slices: a folder, or a zip of them, under any file names.

    Intensities are rescaled by each slice's slope and intercept (HU for CT). Slices are sorted along their normal.
    Files that are not DICOM by name nor by content (licences, lists) are ignored. Raises UserError with its name when a
    slice is damaged, missing, doubled, of another series or size, or when distances are not uniform.

    SimpleITK reads each slice, but does not group them: its ImageSeriesReader leaves a damaged slice out in silence.
    """
    require(path)
    with tempfile.TemporaryDirectory(prefix="semiseg-") as folder:
        files = _files(path) if path.is_dir() else _unzipped(path, Path(folder))
        slices = [_slice(name, file, path) for name, file in files.items() if _is_slice(name, file)]
    if len(slices) < 2:
        raise UserError(f"{path} holds {len(slices)} DICOM slices, expected a series of them: fetch it again")
    _check_alike(slices, path)
    directions = np.array(slices[0].image.GetDirection()).reshape(3, 3)
    slices.sort(key=lambda one: float(directions[:, 2] @ one.image.GetOrigin()))
    affine = np.eye(4)
    affine[:3, :2] = directions[:, :2] * np.array(slices[0].image.GetSpacing()[:2])
    affine[:3, 2] = _step_mm(slices, directions[:, 2], path)
    affine[:3, 3] = slices[0].image.GetOrigin()
    array = np.concatenate([_pixels(one.image) for one in slices])
    return checked(Volume(array.transpose(2, 1, 0), LPS_TO_RAS @ affine), path)


@dataclass(frozen=True)
class _Slice:
    name: str
    image: Any  # SimpleITK, with one slice
    series: str


def _files(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}


def _unzipped(path: Path, folder: Path) -> dict[str, Path]:
    """Members of a zip by name. Each is written to a file named by a number, so that no member chooses its path."""
    files = {}
    try:
        with path.open("rb") as archive:
            for number, member in enumerate(members(archive, str(path))):
                files[str(member.name)] = folder / str(number)
                with files[str(member.name)].open("wb") as target:
                    target.writelines(member.chunks())
    except OSError as error:
        if is_full(error):
            raise UserError(
                f"no space left in {folder.parent} while unpacking {path}: free some or set TMPDIR"
            ) from None
        raise
    return files


def _is_slice(name: str, path: Path) -> bool:
    if name.lower().endswith(".dcm"):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" and Path(name).name != "DICOMDIR"


def _slice(name: str, file: Path, path: Path) -> _Slice:
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(file), imageIO="GDCMImageIO")
    except RuntimeError:
        raise UserError(f"{path}: {name} cannot be read as a DICOM slice: {DAMAGED}") from None
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(f"{path}: {name} is a colour picture, expected one number per pixel: remove it")
    if image.GetDimension() != 3 or image.GetSize()[2] != 1:
        raise UserError(f"{path}: {name} has size {image.GetSize()}, expected one slice per file: split it into slices")
    if not image.HasMetaDataKey("0020|0032"):
        raise UserError(f"{path}: {name} has no position (tag 0020,0032), expected one slice of a scan: remove it")
    return _Slice(name, image, image.GetMetaData("0020|000e") if image.HasMetaDataKey("0020|000e") else "")


def _check_alike(slices: Sequence[_Slice], path: Path) -> None:
    series = Counter(one.series for one in slices)
    if len(series) > 1:
        counts = ", ".join(f"{count} of {uid.strip()}" for uid, count in sorted(series.items()))
        raise UserError(f"{path} holds slices of {len(series)} series, expected one ({counts}): keep one of them")
    _check_one("size", {one.name: one.image.GetSize()[:2] for one in slices}, path)
    _check_one("pixel spacing", {one.name: _rounded(one.image.GetSpacing()[:2], 4) for one in slices}, path)
    _check_one("direction", {one.name: _rounded(one.image.GetDirection(), 3) for one in slices}, path)


def _check_one(what: str, found: Mapping[str, tuple[float, ...]], path: Path) -> None:
    usual = Counter(found.values()).most_common(1)[0][0]
    other = next((name for name, value in found.items() if value != usual), None)
    if other is not None:
        raise UserError(
            f"{path}: {other} has {what} {found[other]}, the others {usual}: remove what is not of this scan"
        )


def _step_mm(slices: Sequence[_Slice], normal: Array, path: Path) -> Array:
    """Vector from one slice to the next, mm (LPS). Raises UserError unless the sorted slices lie on a uniform grid."""
    positions = np.array([one.image.GetOrigin() for one in slices])
    along = positions @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    near = max(GAP * usual, GAP_MM)
    for gap, before, after in zip(gaps, slices, slices[1:], strict=False):
        if gap <= GAP * usual:
            raise UserError(f"{path}: {before.name} and {after.name} lie at one place: remove the doubled slice")
        if gap - usual > near:
            missing = round(gap / usual) - 1
            whole = missing > 0 and abs(gap / usual - missing - 1) <= GAP * (missing + 1)
            what = f"slices are missing: {missing}" if whole else "the distance is not uniform"
            raise UserError(
                f"{path}: between {before.name} and {after.name} {what} ({gap:.3f} mm, usually {usual:.3f} mm): "
                "fetch the series again"
            )
        if usual - gap > near:
            raise UserError(
                f"{path}: {before.name} and {after.name} are {gap:.3f} mm apart, usually {usual:.3f} mm, expected "
                "uniform distances: fetch the series again"
            )
    step: Array = (positions[-1] - positions[0]) / (len(slices) - 1)
    off = np.abs(along - along[0] - np.arange(len(slices)) * (step @ normal))
    if off.max() > DRIFT * usual:
        raise UserError(
            f"{path}: {slices[int(off.argmax())].name} lies {off.max():.3f} mm off a uniform grid of {usual:.3f} mm: "
            "fetch the series again"
        )
    sideways = float(np.linalg.norm(step - (step @ normal) * normal))
    if sideways > SHEAR * usual:
        raise UserError(
            f"{path}: slices move sideways by {sideways:.3f} mm each (a tilted gantry), expected a straight stack: "
            "resample the series first"
        )
    return step


def _pixels(image: Any) -> Array:
    import SimpleITK as sitk

    return np.asarray(sitk.GetArrayViewFromImage(image))


def _rounded(values: Sequence[float], digits: int) -> tuple[float, ...]:
    return tuple(round(value, digits) + 0.0 for value in values)
