"""Readers of medical image files and a NIfTI writer, all for a ``Volume``: an array with its affine.

Arrays are ``[x y z]`` as nibabel gives them; ``affine`` maps voxel indices to RAS+ millimetres. Readers are strict:
they verify checksums to the end of the file, and refuse a header that does not fit its data.
"""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.files import atomic
from semiseg.base.names import shown, utf8
from semiseg.base.volume import Array, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
DAMAGED = "the file is damaged, fetch it again"


def read_nifti(path: Path) -> Volume:
    """Read .nii or .nii.gz. If a header has both an sform and a qform, the sform is used, as in nibabel.

    Raises UserError if the file is missing, damaged or longer than its header states, and for all that ``checked``
    refuses. Spacings are checked as they are stored in the header.
    """
    import nibabel.imageglobals

    require(path)
    try:
        with _decompressed(path) as file, nibabel.imageglobals.LoggingOutputSuppressor():
            image = _nifti_class(file).from_stream(file)
            spacing = [float(length) for length in _stored_spacing(file, image)]
            array = np.asanyarray(image.dataobj)
            surplus = sum(len(part) for part in iter(lambda: file.read(2**20), b""))  # gzip's checksum is at the end
    except UserError:
        raise
    except Exception as error:  # for damaged files nibabel, zlib and struct raise exceptions without a common base
        raise UserError(f"{path} cannot be read as NIfTI ({_reason(error)}): {DAMAGED}") from error
    if surplus:
        raise UserError(f"{path} holds {surplus} bytes more than its header tells: {DAMAGED}")
    if not all(0 < length < np.inf for length in spacing):
        raise UserError(f"{path} has spacing {_shown(spacing)} mm, expected positive numbers: correct its header")
    return checked(Volume(array, np.asarray(image.affine, np.float64)), path)


def _decompressed(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _nifti_class(file: io.BufferedIOBase) -> Any:
    """nibabel's image class. The first number in the file, the size of the header, chooses it. The file is rewound."""
    import nibabel

    first = file.read(4)
    file.seek(0)
    if not first:
        raise ValueError("it is empty")
    kinds = {348: nibabel.Nifti1Image, 540: nibabel.Nifti2Image}
    sizes = [int.from_bytes(first, order) for order in ("little", "big")]
    kind = next((kinds[size] for size in sizes if size in kinds), None)
    if kind is None:
        raise ValueError("it does not start with the size of a NIfTI header")
    return kind


def _stored_spacing(file: io.BufferedIOBase, image: Any) -> Array:
    """Spacings as stored in the header. nibabel itself replaces those that are not positive, without a warning."""
    file.seek(0)
    header = type(image.header).from_fileobj(file, check=False)
    return np.asarray(header["pixdim"][1 : 1 + min(3, len(image.shape))])


def write_nifti(path: Path, volume: Volume) -> None:
    """Write .nii.gz atomically in the dtype of the array. Equal volumes give equal bytes."""
    import nibabel

    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.array), volume.affine)
    image.header.set_xyzt_units("mm")
    with atomic(path) as temporary:
        nibabel.save(image, temporary)


def read_nrrd(path: Path) -> Volume:
    """Read .nrrd, or any other format that SimpleITK reads.

    Raises UserError if the file is missing or damaged, and for all that ``checked`` refuses.
    """
    import SimpleITK as sitk

    require(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:  # the last line of the message is the reason
        reason = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ")
        raise UserError(f"{path} cannot be read ({reason}): {DAMAGED}") from None
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        shape = (*image.GetSize(), *([image.GetNumberOfComponentsPerPixel()] * (image.GetDimension() == 3)))
        raise UserError(f"{path} has shape {shape}, expected one 3-D volume: keep one volume per file")
    directions = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, image.GetOrigin()
    return checked(Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), LPS_TO_RAS @ affine), path)


def checked(volume: Volume, path: Path) -> Volume:
    """The volume, unchanged.

    Raises UserError unless it is 3-D, has two or more voxels along each axis, one number per voxel, a finite affine and
    positive spacings. path: named in the error.
    """
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
    """Raise UserError for a file that is missing or empty, or whose path is not UTF-8.

    SimpleITK aborts the process over such a path.
    """
    if not utf8(path):
        raise UserError(f"{shown(path)} has a name that is not UTF-8: rename the file or folder")
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
