"""One reader for medical image files: an array with its place in space.

Arrays are ``[x y z]`` as nibabel gives them; ``affine`` maps voxel indices to RAS+ millimetres.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.errors import UserError
from semiseg.files import atomic

Array = NDArray[Any]


@dataclass(frozen=True)
class Volume:
    """array: ``[x y z]`` in any dtype; affine: 4x4 float64, voxel indices -> RAS+ mm (voxel centres)."""

    array: Array
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each array axis."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(0))
        return float(x), float(y), float(z)


def read_nifti(path: Path) -> Volume:
    """Read .nii or .nii.gz. Raises UserError for a damaged file or one that is not 3-D."""
    import nibabel

    try:
        image: Any = nibabel.load(path)
        array = np.asanyarray(image.dataobj)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: put the file back or build the raw data again") from None
    except Exception as error:  # nibabel, zlib and struct each raise their own kinds for damaged files
        raise UserError(f"{path} cannot be read as NIfTI ({error}): the file is damaged, fetch it again") from error
    return checked(Volume(array, np.asarray(image.affine, np.float64)), path)


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

    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{path} cannot be read ({reason}): the file is damaged, fetch it again") from None
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        shape = (*image.GetSize(), *([image.GetNumberOfComponentsPerPixel()] * (image.GetDimension() == 3)))
        raise UserError(f"{path} has shape {shape}, expected one 3-D volume: keep one volume per file")
    directions = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, image.GetOrigin()
    lps_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    return checked(Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), lps_to_ras @ affine), path)


def checked(volume: Volume, path: Path) -> Volume:
    """Refuse what no later step can use: not 3-D, no extent, or a spacing that is not positive and finite."""
    if volume.array.ndim != 3 or 0 in volume.array.shape:
        raise UserError(f"{path} has shape {volume.array.shape}, expected one 3-D volume: keep one volume per file")
    if not np.isfinite(volume.affine).all() or min(volume.spacing_mm) <= 0:
        raise UserError(
            f"{path} has spacing {volume.spacing_mm} mm, expected three positive numbers: correct its header"
        )
    return volume
