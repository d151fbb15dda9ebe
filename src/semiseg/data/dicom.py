"""DICOM series as one volume (see ``semiseg.data.images``). A slice that does not fit is refused by its name.

SimpleITK reads the pixels (by GDCM) but neither groups nor places them. Its ImageSeriesReader leaves a damaged slice
out in silence, and GDCM takes 1 mm, the axes of the patient or a slope of 1 where a tag is missing or cannot be read.
Position, orientation, spacing and rescaling are therefore read from the tags here, and refused where they are no plain
numbers.
"""

import logging
import re
import tempfile
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.file_names import shown
from semiseg.base.files import is_full
from semiseg.base.texts import some
from semiseg.base.volume import Array, Volume
from semiseg.data.arrival.archives import members
from semiseg.data.dicom_tags import NO_DICOM, Tags, other_kind, padded_pixels, unread_syntax
from semiseg.data.images import DAMAGED, LPS_TO_RAS, checked, require
from semiseg.data.raw_files import is_leftover, walk

logger = logging.getLogger(__name__)

# Slice distances are uniform if they differ from their median by at most this fraction or so many mm, because stored
# positions are rounded
GAP, GAP_MM = 0.1, 0.11
DRIFT = 0.5  # fraction of a slice distance by which a slice may lie off the uniform grid
SHEAR = 0.01  # fraction of a slice distance by which slices may move sideways (a tilted gantry moves them further)


def read_dicom(path: Path) -> Volume:
    """Read one series of single slices: a folder, or an archive of them, under any file names and in any subfolder.

    Intensities are rescaled by each slice's slope and intercept (HU for CT); values that mark padding stay as they are.
    Slices are sorted along their normal. Left-overs of other systems are ignored. The log names files that are passed
    over because they are no DICOM (licences, lists) or no images (structured reports). Raises UserError with its name
    when a slice is damaged, missing, doubled, of another series or size, without a readable spacing, orientation,
    position or rescaling, or when distances are not uniform.
    """
    require(path)
    with tempfile.TemporaryDirectory(prefix="semiseg-") as folder:
        files = _files(path) if path.is_dir() else _unzipped(path, Path(folder))
        kinds = {name: other_kind(name, file) for name, file in files.items()}
        slices = [_slice(name, files[name], path) for name, kind in kinds.items() if kind is None]
    others = {name: kind for name, kind in kinds.items() if kind is not None}
    listed = some([shown(f"{name} ({kind})") for name, kind in others.items()])
    if len(slices) < 2:
        beside = f" (and {len(others)} other files: {listed})" if others else ""
        raise UserError(f"{path} holds {len(slices)} DICOM slices{beside}, expected a series of them: fetch it again")
    _check_names(others, slices, path)
    if others:
        logger.info(f"{path}: passed over {len(others)} files that are no slices: {listed}")
    _check_alike(slices, path)
    directions = slices[0].directions
    slices.sort(key=lambda one: float(directions[:, 2] @ one.position_mm))
    affine = np.eye(4)
    affine[:3, :2] = directions[:, :2] * slices[0].spacing_mm
    affine[:3, 2] = _step_mm(slices, directions[:, 2], path)
    affine[:3, 3] = slices[0].position_mm
    array = np.concatenate([_pixels(one.image) for one in slices])
    if padded := sum(one.padded for one in slices):
        logger.info(f"{path}: {padded} voxels hold the value that marks padding, which is kept as an intensity")
    return checked(Volume(array.transpose(2, 1, 0), LPS_TO_RAS @ affine), path)


@dataclass(frozen=True)
class _Slice:
    """A slice. position_mm: LPS. directions: of rows, of columns, and the normal, as columns. padded: such pixels."""

    name: str
    image: Any  # SimpleITK, with one slice
    series: str
    frame: str
    position_mm: Array
    directions: Array
    spacing_mm: Array
    padded: int


def _files(folder: Path) -> dict[str, Path]:
    files = {str(inside): path for path, inside in walk(folder)}
    if broken := next((path for path in files.values() if not path.exists()), None):
        raise UserError(f"{shown(broken)} is a link to a file that is missing: put the file back")
    return files


def _unzipped(path: Path, folder: Path) -> dict[str, Path]:
    """Members of an archive by name. Each is written to a file named by a number, so no member chooses its path."""
    files = {}
    try:
        with path.open("rb") as archive:
            for number, member in enumerate(members(archive, str(path))):
                if is_leftover(member.name):
                    continue
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


def _check_names(others: Mapping[str, str], slices: Sequence[_Slice], path: Path) -> None:
    """Raise UserError for a file that is no DICOM and has a name like that of a slice but for the numbers in it."""
    names = {_without_numbers(one.name) for one in slices}
    for name, kind in others.items():
        if kind == NO_DICOM and _without_numbers(name) in names:
            raise UserError(f"{path}: {shown(name)} is named like a slice and is no DICOM: {DAMAGED}")


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", PurePosixPath(name).name)


def _slice(name: str, file: Path, path: Path) -> _Slice:
    import SimpleITK as sitk

    where = f"{path}: {shown(name)}"
    require(file)
    try:
        image = sitk.ReadImage(str(file), imageIO="GDCMImageIO")
    except RuntimeError:
        if syntax := unread_syntax(file):
            raise UserError(
                f"{where} has the transfer syntax {syntax} (tag 0002,0010), a way of packing pixels that is not read: "
                "convert it to explicit little endian"
            ) from None
        raise UserError(f"{where} cannot be read as a DICOM slice: {DAMAGED}") from None
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(f"{where} is a colour picture, expected one number per pixel: remove it")
    if image.GetDimension() != 3 or image.GetSize()[2] != 1:
        raise UserError(f"{where} has size {image.GetSize()}, expected one slice per file: split it into slices")
    tags = {key: image.GetMetaData(key).strip(" \0") for key in image.GetMetaDataKeys()}
    if tags.get("0028|0004") != "MONOCHROME2":  # GDCM inverts the numbers of MONOCHROME1
        raise UserError(
            f"{where} has the photometric interpretation {tags.get('0028|0004', '')!r} (tag 0028,0004), expected "
            "MONOCHROME2: convert it"
        )
    numbers = Tags(tags, where)
    position = numbers.read("0020|0032", "position", 3)
    rows_mm, columns_mm = numbers.positive("0028|0030", "pixel spacing", 2)  # between rows, between columns
    return _Slice(
        name=shown(name),
        image=image,
        series=tags.get("0020|000e", ""),
        frame=tags.get("0020|0052", ""),
        position_mm=np.array(position),
        directions=numbers.directions(),
        spacing_mm=np.array([columns_mm, rows_mm]),
        padded=padded_pixels(tags, _pixels(image), *numbers.rescaling()),
    )


def _check_alike(slices: Sequence[_Slice], path: Path) -> None:
    series = Counter(one.series for one in slices)
    if len(series) > 1:
        counts = ", ".join(f"{count} of {uid}" for uid, count in sorted(series.items()))
        raise UserError(f"{path} holds slices of {len(series)} series, expected one ({counts}): keep one of them")
    _check_one("size", {one.name: one.image.GetSize()[:2] for one in slices}, path)
    _check_one("pixel spacing", {one.name: _rounded(one.spacing_mm, 4) for one in slices}, path)
    _check_one("direction", {one.name: _rounded(one.directions.ravel(), 3) for one in slices}, path)
    _check_one("frame of reference", {one.name: one.frame for one in slices}, path)


def _check_one(what: str, found: Mapping[str, Hashable], path: Path) -> None:
    usual = Counter(found.values()).most_common(1)[0][0]
    other = next((name for name, value in found.items() if value != usual), None)
    if other is not None:
        raise UserError(
            f"{path}: {other} has {what} {found[other]}, the others {usual}: remove what is not of this scan"
        )


def _step_mm(slices: Sequence[_Slice], normal: Array, path: Path) -> Array:
    """Vector from one slice to the next, mm (LPS). Raises UserError unless the sorted slices lie on a uniform grid."""
    positions = np.array([one.position_mm for one in slices])
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


def _rounded(values: Array, digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) + 0.0 for value in values)
