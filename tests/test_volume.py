"""Reading and writing scans."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from semiseg.errors import UserError
from semiseg.volume import Volume, read_nifti, read_nrrd, write_nifti

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
