"""Reader and writer of NIfTI for a ``Volume``, an array with its affine, and the checks of every reader.

Arrays are ``[x y z]`` as nibabel gives them; ``affine`` maps voxel indices to RAS+ millimetres. Readers are strict:
they verify checksums to the end of the file, and refuse a header that does not fit its data or contradicts itself.
Where a header leaves something open, the field's habit is applied, and the volume carries a note of it.
"""

import contextlib
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.file_names import shown, utf8
from semiseg.base.files import atomic
from semiseg.base.volume import Array, Volume
from semiseg.data.arrival.archive_kinds import START, WEB_PAGE, kind_of
from semiseg.data.geometry import SAME_MM, Affine, farthest_mm, spacing_of

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
DAMAGED = "the file is damaged, fetch it again"
NO_UNIT = "the header names no unit of length, mm is assumed"
NO_CODES = "the codes of qform and sform are both 0, so spacing is that of pixdim and the place is nibabel's default"
TWO_PLACES = "qform and sform place the scan differently, the sform is used"
UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # codes of NIfTI: unknown, metre, millimetre, micron
CODES = range(6)  # of qform and sform, nifti1.h
SHORTEST_MM, LONGEST_MM = 1e-4, 100.0  # voxels of any scanner lie well between
LONGEST_SIDE = 32767  # voxels: NIfTI-1, in which predictions are stored, counts no further
FARTHEST_MM = 1e5  # single precision, in which predictions are stored, keeps 0.01 mm up to here
FLAT = 0.01  # volume of the box that three unit vectors span: below, they lie in one plane
QUATERNION = 1e-4  # by which the square of a rounded quaternion may exceed 1
GZIP, LAYERS = b"\x1f\x8b", 2  # some servers and tools pack what is packed already
POINTERS = {  # start of a small text that stands for a file -> what brings the file
    b"version https://git-lfs.github.com/spec/": "git lfs pull",
    b"/annex/objects/": "git annex get",
}
SHEAR = 0.01  # cosine between two axes: a tilted gantry and affine registrations have more, rounding has less


@np.errstate(invalid="ignore", over="ignore")  # headers that hold no number or one out of reach are refused by name
def read_nifti(path: Path) -> Volume:
    """Read .nii or .nii.gz. Lengths are scaled to mm by the header's unit.

    The sform counts where its code is set, then the qform, then pixdim alone, as in nibabel; the volume's notes say
    what was assumed. Axes of length 1 after the third are dropped. Raises UserError if the file is missing, damaged or
    longer than its header states, if the header has an unknown code or unit, if pixdim and sform differ, and for all
    that ``checked`` refuses.
    """
    require(path)
    try:
        with _decompressed(path) as file, _silent_nibabel():
            image = _nifti_class(file).from_stream(file)
            file.seek(0)
            header = type(image.header).from_fileobj(file, check=False)  # as stored: nibabel corrects in silence
            array = np.asanyarray(image.dataobj)
            # nibabel maps a plain file and leaves it standing at its end, wherever the data end
            file.seek(image.dataobj.offset + array.size * image.dataobj.dtype.itemsize)
            surplus = sum(len(part) for part in iter(lambda: file.read(2**20), b""))  # gzip's checksum is at the end
    except UserError:
        raise
    except Exception as error:  # for damaged files nibabel, zlib and struct raise exceptions without a common base
        raise UserError(f"{path} cannot be read as NIfTI ({reason_of(error)}): {DAMAGED}") from error
    if surplus:
        raise UserError(f"{path} holds {surplus} bytes more than its header states: {DAMAGED}")
    if np.isinf(header["scl_slope"]):  # nibabel would ignore it, as it does 0 and NaN, which mean no scaling
        raise UserError(f"{path} has scl_slope {header['scl_slope']:g}, expected a finite number: correct its header")
    array = _without_single_axes(array)
    _check_array(array, path)
    affine, notes = _nifti_place(image, header, array.shape, path)
    return checked(Volume(array, affine, notes), path)


@contextlib.contextmanager
def _decompressed(path: Path) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as opened:
        file: BinaryIO = opened.enter_context(path.open("rb"))
        for _ in range(LAYERS):
            packed = file.read(2) == GZIP
            file.seek(0)
            if packed:
                file = cast("BinaryIO", opened.enter_context(gzip.GzipFile(fileobj=file, mode="rb")))
        yield file


@contextlib.contextmanager
def _silent_nibabel() -> Iterator[None]:
    """Print nothing of what nibabel corrects. Without a handler, as its own means leave it, Python prints warnings."""
    from nibabel.imageglobals import logger

    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _without_single_axes(array: Array) -> Array:
    """Writers that reserve an axis for time or channels give a single volume the shape ``[x y z 1]``."""
    return array.reshape(array.shape[:3]) if array.ndim > 3 and set(array.shape[3:]) == {1} else array


def _nifti_class(file: BinaryIO) -> Any:
    """nibabel's image class. The first number in the file, the size of the header, chooses it. The file is rewound.

    nibabel alone refuses a quaternion that its writer has rounded to a length a little above 1. Its own threshold is no
    help: below it a positive rest counts as 0 too, which turns a scan by up to a degree.
    """
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
    read: Any = kind.header_class.get_qform_quaternion

    def quaternion(header: Any) -> Any:
        vector = np.array([header["quatern_b"], header["quatern_c"], header["quatern_d"]], np.float64)
        return np.array([0.0, *vector]) if -QUATERNION <= 1 - vector @ vector < 0 else read(header)

    header = type("Header", (kind.header_class,), {"get_qform_quaternion": quaternion})
    return type("Image", (kind,), {"header_class": header})


def _nifti_place(image: Any, header: Any, shape: Sequence[int], path: Path) -> tuple[Affine, tuple[str, ...]]:
    """The affine in mm, and what was assumed for it. header: as stored, without nibabel's corrections."""
    codes = {name: int(header[f"{name}_code"]) for name in ("qform", "sform")}
    unit, handedness = int(header["xyzt_units"]) & 7, float(header["pixdim"][0])
    for name, code in codes.items():
        if code not in CODES:
            raise UserError(f"{path} has the {name} code {code}, expected 0 to {CODES[-1]}: correct its header")
    if unit not in UNITS_MM:
        raise UserError(
            f"{path} has the unit code {unit} of length, expected 1 (metre), 2 (mm) or 3 (micron): correct its header"
        )
    if codes["qform"] and not codes["sform"] and handedness not in (-1, 0, 1):
        raise UserError(f"{path} has pixdim[0] {handedness:g}, expected 1 or -1 beside a qform: correct its header")
    scale = np.array([UNITS_MM[unit]] * 3 + [1.0])[:, None]
    spacing = np.asarray(header["pixdim"][1:4], np.float64) * UNITS_MM[unit]
    check_spacing(spacing.tolist(), path)
    affine = scale * np.asarray(image.affine, np.float64)
    notes: tuple[str, ...] = () if unit else (NO_UNIT,)
    if not any(codes.values()):
        notes += (NO_CODES,)
    _check_place(affine, shape, path)
    off = abs(np.array(spacing_of(affine)) - spacing) * (np.array(shape) - 1)
    if off.max() > SAME_MM:
        raise UserError(
            f"{path} has voxels of {_shown(spacing.tolist())} mm by its pixdim and of {_shown(spacing_of(affine))} "
            "mm by its sform, expected one size: correct its header"
        )
    if all(codes.values()) and not _agrees(image, shape, scale, affine):
        notes += (TWO_PLACES,)
    return affine, notes


def _agrees(image: Any, shape: Sequence[int], scale: Array, affine: Affine) -> bool:
    """Whether the qform places the scan where the affine of the sform does. A qform without a rotation does not."""
    try:
        return farthest_mm(shape, scale * image.get_qform(), affine) <= SAME_MM
    except ValueError:
        return False


def write_nifti(path: Path, volume: Volume) -> None:
    """Write .nii.gz atomically in the dtype of the array. Equal volumes give equal bytes."""
    import nibabel

    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.array), volume.affine)
    image.header.set_xyzt_units("mm")
    with atomic(path) as temporary:
        nibabel.save(image, temporary)


@np.errstate(invalid="ignore", over="ignore")
def checked(volume: Volume, path: Path) -> Volume:
    """The volume, unchanged.

    Raises UserError unless it is 3-D with 2 to 32,767 voxels along each axis and one number per voxel, has spacings
    from 0.0001 to 100 mm, lies within 100 m of the origin, and has three axes that are perpendicular up to a cosine of
    0.01. path: named in the error.
    """
    _check_array(volume.array, path)
    _check_place(volume.affine, volume.array.shape, path)
    return volume


def _check_place(affine: Affine, shape: Sequence[int], path: Path) -> None:
    check_spacing(spacing_of(affine), path)
    if not farthest_mm(shape, affine, np.zeros((4, 4))) <= FARTHEST_MM:
        raise UserError(
            f"{path} has its first voxel at {', '.join(f'{value:g}' for value in affine[:3, 3])} mm, expected a place "
            f"within {FARTHEST_MM:g} mm of the origin: correct its header"
        )
    axes = affine[:3, :3] / spacing_of(affine)
    if abs(np.linalg.det(axes)) < FLAT:
        raise UserError(f"{path} has three axes that lie in one plane, expected three directions: correct its header")
    cosines = axes.T @ axes - np.eye(3)
    if abs(cosines).max() > SHEAR:
        angle = 90 - np.degrees(np.arccos(abs(cosines).max()))
        raise UserError(
            f"{path} has axes that are {angle:.2f} degrees off the right angle (a tilted gantry, or an affine "
            "registration), expected a straight grid: resample the scan first"
        )


def _check_array(array: Array, path: Path) -> None:
    if array.ndim != 3 or min(array.shape) < 2:
        raise UserError(f"{path} has shape {array.shape}, expected one 3-D volume: keep one volume per file")
    if max(array.shape) > LONGEST_SIDE:
        raise UserError(f"{path} has shape {array.shape}, expected at most {LONGEST_SIDE} voxels a side: cut it")
    if array.dtype.kind not in "biuf":
        raise UserError(f"{path} holds {_kind(array)}, expected one number per voxel: convert it")


def check_spacing(spacing_mm: Sequence[float], path: Path) -> None:
    """Raise UserError, naming the file, unless every spacing is from 0.0001 to 100 mm."""
    if not all(SHORTEST_MM <= length <= LONGEST_MM for length in spacing_mm):
        raise UserError(
            f"{path} has spacing {_shown(spacing_mm)} mm, expected three numbers from {SHORTEST_MM:g} to "
            f"{LONGEST_MM:g}: correct its header or the unit that it names"
        )


def require(path: Path) -> None:
    """Raise UserError for a file that is missing, empty or a mere pointer to its content, or whose path is not UTF-8.

    SimpleITK aborts the process over such a path.
    """
    if not utf8(path):
        raise UserError(f"{shown(path)} has a name that is not UTF-8: rename the file or folder")
    if not path.exists():
        raise UserError(f"{path} is missing: put the file back or build the raw data again")
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(START)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its permissions and the disk") from None
    if not start:
        raise UserError(f"{path} is empty: fetch it again")
    if command := next((command for sign, command in POINTERS.items() if start.startswith(sign)), None):
        raise UserError(f"{path} holds no scan but a pointer to it: bring the content with `{command}`")
    if kind_of(start) == WEB_PAGE:
        raise UserError(f"{path} is a web page: log in to its publisher's site in a browser and fetch the file again")


def reason_of(error: Exception) -> str:
    """An exception's message in one line, or its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _kind(array: Array) -> str:
    return "colours" if array.dtype.kind == "V" else str(array.dtype)


def _shown(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.7g}" for value in values)
