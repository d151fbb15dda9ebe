"""One judgement of a raw case: what a label map may hold, where it lies, and that all readers agree."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from support.raw_forms import AFFINE, SHAPE, block, ct, with_value, write_phantom

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.base.volume import Volume
from semiseg.data.images import NO_UNIT, write_nifti
from semiseg.data.labels import ROUNDED
from semiseg.data.raw_case import read_case
from semiseg.data.raw_volumes import PIECE, TURNED, on_grid, read_raw_label, require_listed, voxels_of
from semiseg.data.splitcheck.facts import CaseToCheck, facts_of
from semiseg.dataset import RawCase, get_dataset
from semiseg.datasets._labels import remapped

PHANTOM = get_dataset("phantom")
CASE = RawCase("b", "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz")
TRUTH = block((1, 2, 3))


def write(raw: Path, label: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    write_phantom(raw, "b", ct(), label, affine)


def counts_of_check_split(raw: Path) -> dict[int, int]:
    hashes = {name: sha256(raw / name) for name in (CASE.image, str(CASE.label))}
    facts = facts_of(CaseToCheck("phantom", CASE, raw, hashes, True, raw / "cache"))
    assert facts.organs is not None
    return dict(facts.organs)


NOISY = {
    "whole floats": TRUTH.astype(np.float32),
    "floats of the other byte order": TRUTH.astype(">f8"),
    "noise below": TRUTH * 0.99999,
    "noise in single precision": (TRUTH * np.float32(1.0001)).astype(np.float32),
    "large integers": TRUTH.astype(">i8"),
}


@pytest.mark.parametrize("label", NOISY.values(), ids=NOISY.keys())
def test_every_reader_takes_whole_numbers_of_any_type(tmp_path: Path, label: np.ndarray) -> None:
    write(tmp_path, label)
    scan = read_case(PHANTOM, CASE, tmp_path)
    np.testing.assert_array_equal(scan.label, TRUTH)
    truth = on_grid(CASE, read_raw_label(PHANTOM, CASE, tmp_path), SHAPE, AFFINE)
    np.testing.assert_array_equal(truth.array, TRUTH)
    assert truth.array.dtype == np.uint8
    assert counts_of_check_split(tmp_path) == {1: 20, 2: 20, 3: 20}
    is_noisy = bool((label != TRUTH).any())
    assert scan.statistics["reading"] == {"image": [], "label": [ROUNDED] * is_noisy}
    assert scan.statistics["labelled"]["voxels"] == [SHAPE[0] * SHAPE[1] * SHAPE[2] - 60, 20, 20, 20] + [0] * 10


NO_LABELS = {
    "NaN": (with_value(TRUTH, np.nan), r"no integers \(nan\): export it again"),
    "infinity": (with_value(TRUTH, -np.inf), r"no integers \(-inf\)"),
    "more than noise": (with_value(TRUTH, 0.9985, np.float64), r"no integers \(0\.9985\)"),
    "digits that tell it from 1": (with_value(TRUTH, 1.00125, np.float64), r"no integers \(1\.00125\)"),
    "an id of another dataset": (with_value(TRUTH, 14, np.uint8), r"label ids \[14\], expected 0\.\.13"),
    "an id beyond a byte": (with_value(TRUTH, 70000, np.int32), r"label ids \[70000\], expected"),
    "nothing": (TRUTH * 0, "no labelled voxel"),
}


@pytest.mark.parametrize(("label", "sentence"), NO_LABELS.values(), ids=NO_LABELS.keys())
def test_every_reader_refuses_the_same_labels_in_the_same_words(
    tmp_path: Path, label: np.ndarray, sentence: str
) -> None:
    write(tmp_path, label)
    told = set()
    for read in (
        lambda: read_case(PHANTOM, CASE, tmp_path),
        lambda: read_raw_label(PHANTOM, CASE, tmp_path),
        lambda: counts_of_check_split(tmp_path),
    ):
        with pytest.raises(
            UserError, match=rf"^case b: .*labelsTr/b\.nii\.gz has .*{sentence.removeprefix('has ')}"
        ) as error:
            read()
        told.add(str(error.value))
    assert len(told) == 1


def test_scale_factors_leave_noise_that_is_no_error(tmp_path: Path) -> None:
    """Values 100 and 200 with a slope of 0.01, which single precision cannot hold: 0.99999998 and 1.99999996."""
    write(tmp_path, TRUTH)
    image = nibabel.Nifti1Image(TRUTH * np.uint8(80), AFFINE)
    image.header.set_slope_inter(1 / 80, 0)
    nibabel.save(image, tmp_path / str(CASE.label))
    volume = read_raw_label(PHANTOM, CASE, tmp_path)
    np.testing.assert_array_equal(volume.array, TRUTH)
    assert volume.notes == (NO_UNIT, ROUNDED)
    path = tmp_path / str(CASE.label)
    mapped = remapped(PHANTOM.read_label(path), path, {0: 0, 1: 5, 2: 6, 3: 0})
    np.testing.assert_array_equal(np.unique(mapped.array), [0, 5, 6])
    with pytest.raises(UserError, match=r"has label values 3\.0, expected 0, 1, 2: fetch it again"):
        remapped(PHANTOM.read_label(path), path, {0: 0, 1: 5, 2: 6})


@pytest.mark.parametrize("letters", ["RAS", "LPS", "PIR", "SAL"])
def test_a_label_along_other_axes_is_turned(tmp_path: Path, letters: str) -> None:
    write(tmp_path, TRUTH)
    image = nibabel.Nifti1Image(TRUTH, AFFINE)
    axes = nibabel.orientations.axcodes2ornt(letters)
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(AFFINE), axes))
    write_nifti(tmp_path / str(CASE.label), Volume(np.asarray(turned.dataobj), turned.affine))
    scan = read_case(PHANTOM, CASE, tmp_path)
    np.testing.assert_array_equal(scan.label, TRUTH)
    assert scan.statistics["reading"]["label"] == [TURNED]


def test_the_grid_of_the_image_counts(tmp_path: Path) -> None:
    near = AFFINE.copy()
    near[2, 2] += 0.008
    write(tmp_path, TRUTH, near)
    label = on_grid(CASE, read_raw_label(PHANTOM, CASE, tmp_path), SHAPE, AFFINE)
    np.testing.assert_array_equal(label.affine, AFFINE)
    near[2, 2] += 0.002
    write(tmp_path, TRUTH, near)
    with pytest.raises(UserError, match=r"spacing of image \(2, 2\.5, 4 mm\) and label \(2, 2\.5, 4\.01 mm\) differ"):
        on_grid(CASE, read_raw_label(PHANTOM, CASE, tmp_path), SHAPE, AFFINE)


def test_a_file_that_changed_behind_the_manifest_is_named(tmp_path: Path) -> None:
    write(tmp_path, TRUTH)
    hashes = {CASE.image: sha256(tmp_path / CASE.image), str(CASE.label): "0" * 64}
    with pytest.raises(UserError, match=r"^case b: labelsTr/b\.nii\.gz is not the file that .*manifest\.json lists"):
        require_listed(CASE, tmp_path, hashes)


@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("classes", [2, 14])
def test_voxels_are_counted_by_class_in_any_order_of_memory(order: str, classes: int) -> None:
    """More voxels than a piece has, with pieces of background alone, and a class that is absent."""
    label = np.random.default_rng(0).integers(0, classes, (40, 200, 120)).astype(np.uint8)
    label[label == 1] *= classes == 2
    label[:, :110] = 0
    assert label.size > 3 * PIECE
    array = label[::2, ::-1, 1:] if order == "strided" else np.array(label, order=order)
    assert voxels_of(array, classes) == np.bincount(array.ravel(), minlength=classes).tolist()
