"""Reading and writing scans."""

import gzip
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from support import REALDATA
from support.needs import needs_real_data
from support.raw_forms import write_slice

from semiseg.base.errors import UserError
from semiseg.base.volume import Volume
from semiseg.data.dicom import read_dicom
from semiseg.data.images import NO_CODES, NO_UNIT, TWO_PLACES, read_nifti, write_nifti
from semiseg.data.nrrd import read_nrrd

REAL = REALDATA / "dicom"
AFFINE = np.array([[0.0, 2.0, 0, 5], [-1.5, 0, 0, 6], [0, 0, 3.0, 7], [0, 0, 0, 1]])
ARRAY = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def test_nifti_comes_back_with_its_place(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", Volume(ARRAY, AFFINE))
    volume = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.affine, AFFINE)
    assert volume.spacing_mm == pytest.approx((1.5, 2.0, 3.0))


def test_equal_volumes_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, Volume(ARRAY, AFFINE))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_nrrd_and_nifti_of_one_scan_agree(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", Volume(ARRAY, AFFINE))
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / "a.nrrd"))
    volume = read_nrrd(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize("kept", [10, 60, 150])
def test_a_cut_off_nifti_is_one_sentence(tmp_path: Path, kept: int) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (9, 9, 9)).astype(np.int16)
    write_nifti(tmp_path / "a.nii.gz", Volume(noise, AFFINE))
    (tmp_path / "a.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes()[:kept])
    with pytest.raises(UserError, match=r"a\.nii\.gz cannot be read as NIfTI .*fetch it again"):
        read_nifti(tmp_path / "a.nii.gz")


def test_a_damaged_nrrd_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_text("NRRD0004\nnonsense")
    with pytest.raises(UserError, match="the file is damaged"):
        read_nrrd(tmp_path / "a.nrrd")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        read_nifti(tmp_path / "a.nii.gz")


def test_only_three_dimensions(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 3, 4, 5), np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(UserError, match=r"shape \(2, 3, 4, 5\), expected one 3-D volume"):
        read_nifti(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("more", [(1,), (1, 1)])
def test_axes_of_length_one_after_the_third_are_dropped(tmp_path: Path, more: tuple[int, ...]) -> None:
    image = nibabel.Nifti1Image(ARRAY.reshape(ARRAY.shape + more), AFFINE)
    image.header.set_xyzt_units("micron", "sec")
    image.set_sform(np.diag([1e3, 1e3, 1e3, 1]) @ AFFINE, code=1)
    image.header["pixdim"][1:4] *= 1e3
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "a pointer to it: .*`git lfs pull`"),
        (b"/annex/objects/MD5E-s9--1.nii.gz\n", "a pointer to it: .*`git annex get`"),
        (b"\n<!DOCTYPE html><html>Log in</html>", "is a web page: log in to its publisher's site"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd"])
def test_what_stands_in_the_place_of_a_scan(tmp_path: Path, name: str, start: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(start)
    with pytest.raises(UserError, match=rf"{name} .*{sentence}"):
        (read_nrrd if name.endswith("nrrd") else read_nifti)(tmp_path / name)


def test_a_file_that_was_packed_twice(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", Volume(ARRAY, AFFINE))
    whole = gzip.compress((tmp_path / "a.nii.gz").read_bytes())
    (tmp_path / "a.nii.gz").write_bytes(whole)
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").array, ARRAY)
    (tmp_path / "a.nii.gz").write_bytes(whole[:-4])
    with pytest.raises(UserError, match=r"cannot be read as NIfTI \(.*\): the file is damaged"):
        read_nifti(tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(UserError, match="does not start with the size of a NIfTI header"):
        read_nifti(tmp_path / "a.nii.gz")


def test_nothing_is_printed_beside_the_sentence(tmp_path: Path) -> None:
    """In a process of its own, because pytest has handlers for what libraries log."""
    path = save(tmp_path / "a.nii", put(pixdim1=-1.5))
    command = f"from pathlib import Path; from semiseg.data.images import read_nifti; read_nifti(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, encoding="utf-8")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].endswith(
        "has spacing -1.5 x 2 x 3 mm, expected three numbers from 0.0001 to 100: correct its header or the unit that it"
        " names"
    )


@pytest.mark.parametrize(("excess", "good"), [(2e-6, True), (5e-5, True), (1e-3, False)])
def test_a_quaternion_that_was_rounded(tmp_path: Path, excess: float, good: bool) -> None:
    """A turn by 180 degrees about y, whose fourth part would be the root of a number below 0."""
    affine = np.diag([-1.5, 2.0, -3.0, 1.0])
    change = put(sform_code=0, quatern_b=0, quatern_c=np.sqrt(1 + excess), quatern_d=0)
    path = save(tmp_path / "a.nii", change, affine)
    if good:
        np.testing.assert_allclose(read_nifti(path).affine, affine, atol=1e-5)
    else:
        with pytest.raises(UserError, match="cannot be read as NIfTI"):
            read_nifti(path)


@pytest.mark.parametrize("name", ["a.nii", "A B ä.NII.GZ", "packed.nii", "plain.nii.gz"])
def test_nifti_is_known_by_content(tmp_path: Path, name: str) -> None:
    write_nifti(tmp_path / "a.nii.gz", Volume(ARRAY, AFFINE))
    content = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / name).write_bytes(content if name[0] in "Ap" and name != "plain.nii.gz" else gzip.decompress(content))
    np.testing.assert_array_equal(read_nifti(tmp_path / name).array, ARRAY)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_versions_and_byte_orders(tmp_path: Path, kind: type, order: str) -> None:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.int16)
    nibabel.save(kind(ARRAY, AFFINE, header), tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE)


def test_the_sform_counts_where_the_qform_places_the_scan_elsewhere(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ARRAY, None)
    image.header.set_xyzt_units("mm")
    image.set_qform(np.diag([1.5, 2, 3, 1]), code=1)
    image.set_sform(AFFINE, code=2)
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.affine, AFFINE)
    assert volume.notes == (TWO_PLACES,)


def save(path: Path, change: Callable[[Any], object], affine: np.ndarray = AFFINE) -> Path:
    """A plain file with sform, qform and mm, and a changed header."""
    image = nibabel.Nifti1Image(ARRAY, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    content, header = image.to_bytes(), image.header.copy()
    header["magic"], header["vox_offset"] = b"n+1", 352
    change(header)
    path.write_bytes(header.binaryblock + content[len(header.binaryblock) :])
    return path


def put(**values: float) -> Callable[[Any], object]:
    """Set fields of a header, pixdim by its number: ``pixdim2``."""

    def change(header: Any) -> None:
        for name, value in values.items():
            if name.startswith("pixdim"):
                header["pixdim"][int(name[-1])] = value
            else:
                header[name] = value

    return change


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e3), ("meter", 1e-3), ("mm", 1), ("unknown", 1)])
@pytest.mark.parametrize("form", ["sform", "qform", "pixdim"])
def test_lengths_are_scaled_by_the_unit(tmp_path: Path, unit: str, factor: float, form: str) -> None:
    codes = {"sform_code": int(form == "sform"), "qform_code": int(form == "qform")}

    def change(header: Any) -> None:
        header.set_xyzt_units(unit)
        put(**codes)(header)

    volume = read_nifti(save(tmp_path / "a.nii", change, np.diag([factor] * 3 + [1]) @ AFFINE))
    assert volume.spacing_mm == pytest.approx((1.5, 2, 3))
    assert (NO_UNIT in volume.notes, NO_CODES in volume.notes) == (unit == "unknown", form == "pixdim")
    if form != "pixdim":
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)
    else:  # the centre at the origin, the first axis towards the left
        np.testing.assert_allclose(volume.affine @ [0.5, 1, 1.5, 1], [0, 0, 0, 1], atol=1e-6)
        assert np.diag(volume.affine)[:3] == pytest.approx([-1.5, 2, 3])


SHEARED, FLAT = AFFINE.copy(), AFFINE.copy()
SHEARED[1, 2] = 3 * np.tan(np.deg2rad(1))
FLAT[:3, 2] = 0, -4, 0
REFUSED = {
    "a code that NIfTI does not know": (put(sform_code=9), AFFINE, "sform code 9, expected 0 to 5"),
    "a negative code": (put(qform_code=-1), AFFINE, "qform code -1, expected 0 to 5"),
    "a unit that NIfTI does not know": (put(xyzt_units=5), AFFINE, "unit code 5 of length, expected 1"),
    "pixdim against sform": (
        put(pixdim3=3.2),
        AFFINE,
        "voxels of 1.5 x 2 x 3.2 mm by its pixdim and of 1.5 x 2 x 3 mm by its sform, expected one size",
    ),
    "a handedness that is none": (put(sform_code=0, pixdim0=-2), AFFINE, r"pixdim\[0\] -2, expected 1 or -1"),
    "a tilt of one degree": (put(), SHEARED, "1.00 degrees off the right angle .*: resample the scan first"),
    "a slope that scales to infinity": (put(scl_slope=np.inf, scl_inter=0), AFFINE, "scl_slope inf, expected a finite"),
    "axes in one plane": (put(pixdim3=4), FLAT, "three axes that lie in one plane"),
    "metres that are millimetres": (put(xyzt_units=1), AFFINE, "spacing 1500 x 2000 x 3000 mm, .* unit that it names"),
    "a place that is no number": (
        put(srow_x=(0, 2, 0, np.inf)),
        AFFINE,
        "first voxel at inf, 6, 7 mm, expected a place",
    ),
    "a place out of reach": (put(srow_x=(0, 2, 0, 1e7)), AFFINE, r"first voxel at 1e\+07, 6, 7 mm"),
}


@pytest.mark.parametrize(("change", "affine", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_headers_that_are_refused(
    tmp_path: Path, change: Callable[[Any], object], affine: np.ndarray, sentence: str
) -> None:
    with pytest.raises(UserError, match=rf"a\.nii .*{sentence}"):
        read_nifti(save(tmp_path / "a.nii", change, affine))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_bytes_that_the_header_does_not_tell_of(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    content = save(tmp_path / "a.nii", put()).read_bytes()
    (tmp_path / "a.nii").write_bytes(pack(content))
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").array, ARRAY)
    (tmp_path / "a.nii").write_bytes(pack(content + bytes(5)))
    with pytest.raises(UserError, match="holds 5 bytes more than its header states: the file is damaged"):
        read_nifti(tmp_path / "a.nii")
    (tmp_path / "a.nii").write_bytes(pack(content[:-5]))
    with pytest.raises(UserError, match=r"cannot be read as NIfTI \(.*\): the file is damaged"):
        read_nifti(tmp_path / "a.nii")


def test_slope_and_intercept(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ARRAY, AFFINE)
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").array, 2.0 * ARRAY - 1024)
    image.header.set_slope_inter(1.0, 0.0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert read_nifti(tmp_path / "a.nii.gz").array.dtype == np.int16


def stack(folder: Path, names: list[str], step: float = 2.5) -> np.ndarray:
    """A series whose lowest slice has the first name; HU [x y z]."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(-1000, 400, (5, 4)).astype(np.int16) for _ in names]
    for number, name in enumerate(names):
        write_slice(folder / "slice.dcm", -30 + step * number, rows[number])
        (folder / "slice.dcm").rename(folder / name)
    return np.stack(rows).transpose(2, 1, 0)


def test_dicom_is_ordered_by_position_and_rescaled(tmp_path: Path) -> None:
    expected = stack(tmp_path / "a", ["z.dcm", "1 x.DCM", "ö", "b.dcm"])
    (tmp_path / "a" / "LICENSE").write_text("terms")
    volume = read_dicom(tmp_path / "a")
    np.testing.assert_array_equal(volume.array, expected)
    np.testing.assert_allclose(
        volume.affine, [[-0.8, 0, 0, -1.5], [0, -0.8, 0, -2], [0, 0, 2.5, -30], [0, 0, 0, 1]], atol=1e-6
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in (tmp_path / "a").iterdir():
            archive.write(path, f"PANCREAS_0001/study/{path.name}")
    packed = read_dicom(tmp_path / "a.zip")
    np.testing.assert_array_equal(packed.array, expected)
    np.testing.assert_array_equal(packed.affine, volume.affine)


def test_positions_that_were_rounded_are_uniform(tmp_path: Path) -> None:
    for number in range(30):
        write_slice(tmp_path / "a" / f"{number}.dcm", round(-30 + 0.75 * number, 1))
    assert read_dicom(tmp_path / "a").spacing_mm[2] == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("left", [0.1, 0.5])
def test_simpleitk_leaves_a_damaged_slice_out_of_its_series(tmp_path: Path, left: float) -> None:
    """Why slices are grouped and sorted by code of our own (docs/dependencies.md): the scan would end too early."""
    stack(tmp_path, [f"{number}.dcm" for number in range(6)])
    last = tmp_path / "5.dcm"
    last.write_bytes(last.read_bytes()[: int(left * last.stat().st_size)])
    (series,) = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(tmp_path))
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path), series)
    assert [Path(name).name for name in names] == [f"{number}.dcm" for number in range(5)]
    with pytest.raises(UserError, match=r"5\.dcm cannot be read as a DICOM slice"):
        read_dicom(tmp_path)


def test_a_zip_is_not_unpacked_outside(tmp_path: Path) -> None:
    stack(tmp_path / "a", ["1.dcm", "2.dcm"])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a" / "1.dcm", "../../1.dcm")
        archive.write(tmp_path / "a" / "2.dcm", "2.dcm")
    with pytest.raises(UserError, match=r"a\.zip: member '../../1\.dcm' points out of the archive"):
        read_dicom(tmp_path / "a.zip")


@needs_real_data("dicom")
@pytest.mark.parametrize("name", ["ct_3slices.zip", "mr_series.zip"])
def test_real_series_are_as_itk_reads_them(tmp_path: Path, name: str) -> None:
    shutil.unpack_archive(REAL / name, tmp_path / "all")
    (folder,) = {path.parent for path in (tmp_path / "all").rglob("*.dcm")}
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    expected, volume = read_nrrd(tmp_path / "a.nrrd"), read_dicom(REAL / name)
    np.testing.assert_array_equal(volume.array, expected.array)
    np.testing.assert_allclose(volume.affine, expected.affine, atol=1e-4)
