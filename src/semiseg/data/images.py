"""Readers of medical image files and a NIfTI writer: arrays with their place in space.

Arrays are ``[x y z]`` as nibabel gives them; ``affine`` maps voxel indices to RAS+ millimetres. Readers are strict:
checksums are verified to the end of the file, and a header that does not fit its data is refused.
"""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.files import atomic
from semiseg.base.volume import Array, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
FETCH = "the file is damaged, fetch it again"


def read_nifti(path: Path) -> Volume:
    """Read .nii or .nii.gz. If a header has two transforms the sform counts, as in nibabel.

    Raises UserError for a damaged file, one that is not 3-D, or a header with spacings that are not positive.
    """
    import nibabel.imageglobals

    require(path)
    try:
        with _decompressed(path) as file, nibabel.imageglobals.LoggingOutputSuppressor():
            image = _nifti_class(file).from_stream(file)
            sides = [float(side) for side in _stored_spacing(file, image)]
            array = np.asanyarray(image.dataobj)
            beyond = sum(len(part) for part in iter(lambda: file.read(2**20), b""))  # to the end, where the checksum is
    except UserError:
        raise
    except Exception as error:  # nibabel, zlib and struct each raise their own kinds for damaged files
        raise UserError(f"{path} cannot be read as NIfTI ({_reason(error)}): {FETCH}") from error
    if beyond:
        raise UserError(f"{path} holds {beyond} bytes more than its header tells: {FETCH}")
    if not all(0 < side < np.inf for side in sides):
        raise UserError(f"{path} has spacing {_shown(sides)} mm, expected positive numbers: correct its header")
    return checked(Volume(array, np.asarray(image.affine, np.float64)), path)


def _decompressed(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _nifti_class(file: io.BufferedIOBase) -> Any:
    """nibabel's class, by the size of the header, which is the first number in the file; the file is rewound."""
    import nibabel

    first = file.read(4)
    file.seek(0)
    if not first:
        raise ValueError("it is empty")
    kinds = {348: nibabel.Nifti1Image, 540: nibabel.Nifti2Image}
    sizes = [int.from_bytes(first, order) for order in ("little", "big")]
    kind = next((kinds[size] for size in sizes if size in kinds), None)
    if kind is None:
        raise ValueError("it does not start as NIfTI does")
    return kind


def _stored_spacing(file: io.BufferedIOBase, image: Any) -> Array:
    """Spacings as the header holds them, because nibabel replaces those that are not positive without a warning."""
    file.seek(0)
    header = type(image.header).from_fileobj(file, check=False)
    return np.asarray(header["pixdim"][1 : 1 + min(3, len(image.shape))])


def write_nifti(path: Path, volume: Volume) -> None:
    """Write .nii.gz atomically with the array's own dtype; equal input gives equal bytes."""
    import nibabel

    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.array), volume.affine)
    image.header.set_xyzt_units("mm")
    with atomic(path) as temporary:
        nibabel.save(image, temporary)


def read_nrrd(path: Path) -> Volume:
    """Read .nrrd (or any format SimpleITK knows). Raises UserError for a damaged file or one that is not 3-D."""
    import SimpleITK as sitk

    require(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:  # several lines, of which the last is the reason
        reason = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ")
        raise UserError(f"{path} cannot be read ({reason}): {FETCH}") from None
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        shape = (*image.GetSize(), *([image.GetNumberOfComponentsPerPixel()] * (image.GetDimension() == 3)))
        raise UserError(f"{path} has shape {shape}, expected one 3-D volume: keep one volume per file")
    directions = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, image.GetOrigin()
    return checked(Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), LPS_TO_RAS @ affine), path)


def checked(volume: Volume, path: Path) -> Volume:
    """The volume unchanged. Raises UserError unless it is 3-D, one number per voxel, with positive finite spacing."""
    if volume.array.ndim != 3 or min(volume.array.shape) < 2:
        raise UserError(f"{path} has shape {volume.array.shape}, expected one 3-D volume: keep one volume per file")
    if volume.array.dtype.kind not in "biuf":
        raise UserError(f"{path} holds {_kind(volume.array)}, expected one number per voxel: convert it")
    if not np.isfinite(volume.affine).all() or min(volume.spacing_mm) <= 0:
        raise UserError(
            f"{path} has spacing {_shown(volume.spacing_mm)} mm, expected three positive numbers: correct its header"
        )
    return volume


def require(path: Path) -> None:
    """Raise UserError for a file that is missing or empty."""
    if not path.exists():
        raise UserError(f"{path} is missing: put the file back or build the raw data again")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty: fetch it again")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _kind(array: Array) -> str:
    return "colours" if array.dtype.kind == "V" else str(array.dtype)


def _shown(values: Sequence[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)
