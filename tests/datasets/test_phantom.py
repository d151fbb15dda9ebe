"""Synthetic collections: deterministic, laid out like FLARE22, anatomically and radiologically plausible."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from support.prepared_cases import raw_spec

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.base.volume import Volume
from semiseg.data.drawing.abdomen import Patient
from semiseg.data.drawing.canvas import Ellipsoid, Tube, Union, reoriented
from semiseg.data.images import read_nifti
from semiseg.dataset import get_dataset
from semiseg.datasets import phantom, phantom_mri, phantom_three
from semiseg.params.data import GenerateOptions
from semiseg.stages.raw import build_raw

SMALL = {"seed": 5, "labelled": 2, "unlabelled": 1, "size": 40}
FLARE22 = ["Liv", "R.kid", "Spl", "Pan", "Aor", "IVC", "RAG", "LAG", "Gal", "Eso", "Sto", "Duo", "L.kid"]


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, label map and positions ``[3 x y z]`` (RAS mm) of one case."""
    options = GenerateOptions(seed=22, labelled=1, unlabelled=0, size=96)
    image, label = phantom.draw_case(options, 0)
    index = np.stack([*np.indices(image.array.shape), np.ones(image.array.shape)])
    return image.array, label.array, np.tensordot(image.affine, index, 1)[:3]


def middle(case: tuple[np.ndarray, np.ndarray, np.ndarray], abbreviation: str) -> np.ndarray:
    _, label, place = case
    return np.asarray(place[:, label == phantom.DATASET.organ(abbreviation).id].mean(1))


def median(case: tuple[np.ndarray, np.ndarray, np.ndarray], abbreviation: str) -> float:
    image, label, _ = case
    return float(np.median(image[label == phantom.DATASET.organ(abbreviation).id]))


def test_label_ids_are_those_of_flare22() -> None:
    assert [organ.abbreviation for organ in phantom.DATASET.organs] == FLARE22
    assert [organ.id for organ in phantom.DATASET.organs] == list(range(1, 14))


def test_three_organs_are_the_phantoms_with_contrast_agent_in_two() -> None:
    options = GenerateOptions(seed=22, labelled=1, unlabelled=0, size=40)
    (image, thirteen), (same, three) = (kind.draw_case(options, 0) for kind in (phantom, phantom_three))
    for organ, names in {"Liv": ["Liv"], "Kid": ["L.kid", "R.kid"], "Sto": ["Sto"]}.items():
        ids = [phantom.DATASET.organ(name).id for name in names]
        np.testing.assert_array_equal(
            three.array == phantom_three.DATASET.organ(organ).id, np.isin(thirteen.array, ids)
        )
    assert set(np.unique(three.array)) == set(range(4))
    changed = image.array != same.array
    np.testing.assert_array_equal(changed & (three.array < 2), False)
    kidneys, stomach = (np.median(same.array[three.array == number]) for number in (2, 3))
    assert 400 < kidneys < 600 < stomach < 800


@pytest.mark.parametrize("name", ["phantom", "phantom_mri"])
def test_files_do_not_depend_on_processes(tmp_path: Path, name: str) -> None:
    for folder, workers in (("one", 1), ("two", 2)):
        build_raw(raw_spec(name, source=None, generate=SMALL), tmp_path / folder, workers)
    manifest = read_json(tmp_path / "one" / "manifest.json")
    labels = [case["label"] for case in manifest["cases"]]
    assert labels == [f"labelsTr/{name}_0001.nii.gz", f"labelsTr/{name}_0002.nii.gz", None]
    assert len(manifest["files"]) == 5 and manifest["applied"] == []
    for path in [*manifest["files"], "manifest.json"]:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    image = read_nifti(tmp_path / "one" / "imagesTr" / f"{name}_0001_0000.nii.gz")
    label = read_nifti(tmp_path / "one" / "labelsTr" / f"{name}_0001.nii.gz")
    assert image.array.dtype == np.int16 and label.array.dtype == np.uint8
    assert image.array.shape == label.array.shape and image.array.shape[:2] == (40, 40)
    np.testing.assert_array_equal(image.affine, label.affine)


def test_drawing_again_removes_what_is_no_longer_asked_for(tmp_path: Path) -> None:
    build_raw(raw_spec("phantom_mri", generate=SMALL), tmp_path)
    first = (tmp_path / "imagesTr" / "phantom_mri_0001_0000.nii.gz").read_bytes()
    build_raw(raw_spec("phantom_mri", generate={**SMALL, "labelled": 1, "unlabelled": 0, "seed": 6}), tmp_path)
    assert [case["id"] for case in read_json(tmp_path / "manifest.json")["cases"]] == ["phantom_mri_0001"]
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 2
    assert (tmp_path / "imagesTr" / "phantom_mri_0001_0000.nii.gz").read_bytes() != first


def test_organs_lie_where_they_belong(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    at = {name: middle(case, name) for name in FLARE22}
    right, front, up = 0, 1, 2
    assert at["Liv"][right] > 20 and at["Spl"][right] < -50 and at["Sto"][right] < 0
    assert at["R.kid"][right] > 40 and at["L.kid"][right] < -40
    assert at["L.kid"][up] > at["R.kid"][up]  # the liver pushes the right one down
    assert at["IVC"][right] > at["Aor"][right]
    assert at["RAG"][up] > at["R.kid"][up] and at["LAG"][up] > at["L.kid"][up]
    assert at["Pan"][front] > at["Aor"][front] and at["Gal"][front] > at["R.kid"][front]
    assert at["Eso"][up] == max(place[up] for place in at.values())
    assert at["Duo"][up] < at["Sto"][up]


def test_volumes_are_those_of_organs(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, label, place = case
    voxel = abs(np.linalg.det(np.stack([place[:, 1, 0, 0], place[:, 0, 1, 0], place[:, 0, 0, 1]]) - place[:, 0, 0, 0]))
    millilitres = np.bincount(label.ravel(), minlength=14) * voxel / 1000
    limits = {"Liv": (700, 2200), "Spl": (60, 350), "R.kid": (70, 260), "L.kid": (70, 260), "Pan": (30, 140),
              "Aor": (30, 150), "RAG": (0.8, 8), "LAG": (0.8, 8), "Gal": (10, 70), "Sto": (100, 600)}  # fmt: skip
    for name, (low, high) in limits.items():
        assert low < millilitres[phantom.DATASET.organ(name).id] < high, name


def test_intensities_are_those_of_late_arterial_ct(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, label, _ = case
    assert 80 < median(case, "Liv") < 140 and median(case, "Gal") < 35
    assert median(case, "Aor") > median(case, "Liv") + 15 and median(case, "R.kid") > median(case, "Spl")
    outside = image[0, 0]
    assert np.median(outside) < -950  # air
    assert 0.002 < (image > 250).mean() < 0.05  # bone
    assert ((image < -700) & (label == 0)).mean() > 0.2  # air and lung
    assert ((image > -140) & (image < -60)).mean() > 0.1  # fat


def test_every_case_is_another_patient() -> None:
    options = GenerateOptions(seed=22, labelled=6, unlabelled=0, size=32)
    cases = [phantom.draw_case(options, index) for index in range(6)]
    orientations = {"".join(nibabel.aff2axcodes(image.affine)) for image, _ in cases}
    assert len(orientations) > 1 and orientations <= set(phantom.ORIENTATIONS)
    assert len({image.spacing_mm for image, _ in cases}) == 6
    for image, _ in cases:
        x, y, z = image.spacing_mm
        assert 300 <= 32 * x <= 380 and x == y and z in phantom.SLICES_MM


def test_some_patients_have_no_gallbladder() -> None:
    with_it = [Patient(np.random.default_rng(seed)).gallbladder for seed in range(200)]
    assert 20 < with_it.count(False) < 65


def test_the_atrium_is_one_piece_of_its_size() -> None:
    image, label = phantom_mri.draw_case(GenerateOptions(seed=1, labelled=1, unlabelled=0, size=64), 0)
    assert set(np.unique(label.array)) == {0, 1} and image.array.min() >= 0
    assert max(image.spacing_mm) == pytest.approx(min(image.spacing_mm))
    assert 25 < label.array.sum() * np.prod(image.spacing_mm) / 1000 < 180
    blood, rest = image.array[label.array == 1], image.array[label.array == 0]
    assert np.median(blood) > np.median(rest)


def test_shapes_measure_millimetres() -> None:
    points = np.array([[0, 0, 0], [0, 12, 0], [0, 0, 7.0]], np.float32).T.reshape(3, 3, 1, 1)
    assert Ellipsoid((0, 0, 0), (10, 10, 10)).level(points).ravel().tolist() == pytest.approx([-10, 2, -3])
    turned_oval = Ellipsoid((0, 0, 0), (20, 5, 5), (0, 0, 90))  # long axis now along y
    assert (turned_oval.level(points) < 0).ravel().tolist() == [True, True, False]
    tube = Tube([(-50, 0, 0), (50, 0, 0)], [4, 4])
    assert tube.level(points).ravel().tolist() == pytest.approx([-4, 8, 3])
    both = Union([Ellipsoid((0, 0, 0), (10, 10, 10)), tube], less=[Ellipsoid((0, 0, 0), (2, 2, 2))], soft=1)
    assert (both.level(points) < 0).ravel().tolist() == [False, False, True]


def test_turning_keeps_voxels_in_place() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    there = reoriented(array, affine, "PIR")
    back = reoriented(there.array, there.affine, "RAS")
    np.testing.assert_array_equal(back.array, array)
    np.testing.assert_allclose(back.affine, affine)
    assert isinstance(there, Volume) and nibabel.aff2axcodes(there.affine) == ("P", "I", "R")


def test_real_data_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no data for la: register at https.*semiseg import la FOLDER_OR_ARCHIVE"):
        build_raw(raw_spec("la", source=None, generate=None), tmp_path / "la")
    with pytest.raises(UserError, match=r"datasets\.la\.generate: it cannot be drawn"):
        build_raw(raw_spec("la", generate=SMALL), tmp_path / "la")
    with pytest.raises(UserError, match="phantom cannot be imported"):
        build_raw(raw_spec("phantom", source=str(tmp_path)), tmp_path / "phantom")
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        build_raw(raw_spec("la", source=str(tmp_path / "nowhere")), tmp_path / "la")
    assert get_dataset("phantom") is phantom.DATASET
