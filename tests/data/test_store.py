"""Prepared store: crops, geometry, determinism, and the way back to the raw grid."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from semiseg.base.errors import UserError
from semiseg.data.geometry import Geometry, spacing_of
from semiseg.data.raw_grid import to_native
from semiseg.data.store import (
    PreparedCase,
    has_label,
    read_geometry,
    read_image,
    read_image_crop,
    read_label,
    read_label_crop,
    read_made_from,
    read_statistics,
    write_case,
)

ZYX = np.eye(4)[:, [2, 1, 0, 3]]


def made_case(labelled: bool = True) -> PreparedCase:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 33, 40)).astype(np.float32)
    label = rng.integers(0, 3, image.shape).astype(np.uint8) if labelled else None
    affine = np.array([[0, 0, 1.5, -10], [0, 1.25, 0, 4], [6.0, 0, 0, 7], [0, 0, 0, 1]])
    raw = np.diag([0.75, 0.75, 3.0, 1.0])
    geometry = Geometry((20, 33, 40), spacing_of(affine), affine, "zyx", (80, 55, 40), raw)
    return PreparedCase(image, label, geometry, {"rescale": {"low": -1.5}})


def test_everything_comes_back(tmp_path: Path) -> None:
    case, path = made_case(), tmp_path / "a.h5"
    write_case(path, case, "abc")
    assert read_image(path).dtype == np.float32 and read_label(path).dtype == np.uint8
    np.testing.assert_array_equal(read_image(path), case.image)
    np.testing.assert_array_equal(read_label(path), case.label)
    geometry = read_geometry(path)
    assert geometry.shape == (20, 33, 40) and geometry.raw_shape == (80, 55, 40) and geometry.axes == "zyx"
    assert geometry.spacing_mm == pytest.approx((6.0, 1.25, 1.5))
    np.testing.assert_array_equal(geometry.affine, case.geometry.affine)
    np.testing.assert_array_equal(geometry.raw_affine, case.geometry.raw_affine)
    assert read_statistics(path) == {"rescale": {"low": -1.5}}
    assert read_made_from(path) == "abc"


@pytest.mark.parametrize(
    "start", [(0, 0, 0), (5, 9, 31), (-3, -4, -50), (12, 30, 36), (-100, 0, 0), (20, 0, 0), (-2, 20, -1)]
)
def test_a_crop_is_the_zero_padded_volume(tmp_path: Path, start: tuple[int, int, int]) -> None:
    case, path, size, border = made_case(), tmp_path / "a.h5", (7, 40, 9), 200
    write_case(path, case)
    box = tuple(slice(first + border, first + border + side) for first, side in zip(start, size, strict=True))
    np.testing.assert_array_equal(read_image_crop(path, start, size), np.pad(case.image, border)[box])
    np.testing.assert_array_equal(read_label_crop(path, start, size), np.pad(case.label, border)[box])


def test_equal_cases_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_case(tmp_path / name, made_case())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_an_unlabelled_case_has_no_label(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_case(path, made_case(labelled=False))
    assert not has_label(path)
    with pytest.raises(UserError, match=r"a\.h5 has no label map"):
        read_label_crop(path, (0, 0, 0), (2, 2, 2))


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        read_image(tmp_path / "no.h5")
    write_case(tmp_path / "a.h5", made_case())
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:3000])
    with pytest.raises(UserError, match="cannot be read as HDF5"):
        read_image(tmp_path / "a.h5")


def one_hot(label: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[label].transpose(3, 0, 1, 2)


def test_identical_grids_are_a_plain_argmax() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 4, 5, 6)).astype(np.float32)
    affine = np.diag([0.625, 0.625, 0.625, 1.0])
    geometry = Geometry((4, 5, 6), (0.625,) * 3, affine, "xyz", (4, 5, 6), affine)
    np.testing.assert_array_equal(to_native(scores, geometry), scores.argmax(0))


def test_turned_and_flipped_grids_are_exact() -> None:
    label = np.random.default_rng(2).integers(0, 3, (4, 5, 6)).astype(np.uint8)  # raw, x y z
    raw = np.diag([2.0, 3.0, 4.0, 1.0])
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = 3
    stored = label[::-1].transpose(2, 1, 0)
    geometry = Geometry((6, 5, 4), (4.0, 3.0, 2.0), raw @ flip @ ZYX, "zyx", (4, 5, 6), raw)
    result = to_native(one_hot(stored, 3), geometry)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, label)


@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_interpolation_agrees_with_sampling_point_by_point(tilt: float) -> None:
    rng = np.random.default_rng(3)
    scores = ndimage.gaussian_filter(rng.normal(size=(4, 8, 9, 10)), (0, 1, 1, 1)).astype(np.float32)
    scores[2] -= 1  # nowhere ahead of the background
    scores[3, 3:] -= 1  # ahead in a part only
    stored = np.diag([5.0, 4.0, 4.0, 1.0])[:, [2, 1, 0, 3]]  # stored z y x
    turn = np.array(
        [[np.cos(tilt), -np.sin(tilt), 0, 3], [np.sin(tilt), np.cos(tilt), 0, 2], [0, 0, 1, 4], [0, 0, 0, 1]]
    )
    raw = turn @ np.diag([2.0, 2.0, 3.0, 1.0])
    geometry = Geometry((8, 9, 10), (4.0, 4.0, 5.0), stored, "zyx", (12, 11, 9), raw)
    indices = np.indices((12, 11, 9)).reshape(3, -1)
    inside = np.linalg.inv(stored) @ raw @ np.vstack([indices, np.ones(indices.shape[1])])
    expected = np.stack([ndimage.map_coordinates(s, inside[:3], order=1, mode="nearest") for s in scores]).argmax(0)
    size = np.array([[8], [9], [10]])
    expected[((inside[:3] < -0.5) | (inside[:3] > size - 0.5)).any(0)] = 0
    assert (to_native(scores, geometry).ravel() == expected).mean() > 0.999


def test_outside_the_stored_field_of_view_is_background() -> None:
    scores = np.zeros((2, 2, 2, 2), np.float32)
    scores[1] = 1  # organ everywhere
    affine = np.eye(4)
    shift = np.eye(4)
    shift[:3, 3] = -3
    result = to_native(scores, Geometry((2, 2, 2), (1.0,) * 3, affine, "xyz", (8, 8, 8), shift))
    assert result.sum() == 8 and result[3:5, 3:5, 3:5].all()
