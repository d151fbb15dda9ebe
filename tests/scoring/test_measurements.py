"""Overlap and surface distances: answers one can check by hand, and MedPy as the oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from medpy.metric.binary import asd, assd, dc, hd, hd95, jc
from scipy import ndimage
from scipy.spatial.distance import cdist
from support.needs import real_data

from semiseg.base.errors import UserError
from semiseg.data.images import read_nifti
from semiseg.scoring import measurements
from semiseg.scoring.measurements import Distances, organ_scores


def one(truth, prediction, spacing_mm=(1.0, 1.0, 1.0)):
    return organ_scores(np.asarray(truth, np.uint8), np.asarray(prediction, np.uint8), [1], np.diag(spacing_mm))[0]


def box(shape, *ranges):
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(*r) for r in ranges)] = 1
    return array


def test_two_voxels_two_millimetres_apart():
    truth, prediction = box((5, 5, 5), (1, 2), (2, 3), (2, 3)), box((5, 5, 5), (2, 3), (2, 3), (2, 3))
    score = one(truth, prediction, (2.0, 0.5, 0.5))
    assert (score.truth_voxels, score.predicted_voxels, score.overlap_voxels) == (1, 1, 0)
    assert score.voxel == Distances(*[1.0] * 7)
    assert score.mm == Distances(*[2.0] * 7)
    assert score.diagonal_mm == pytest.approx(math.sqrt(10**2 + 2.5**2 + 2.5**2))


def test_the_nearest_voxel_may_differ_between_voxels_and_millimetres():
    truth = np.zeros((1, 5, 9), np.uint8)
    truth[0, 0, 2] = truth[0, 3, 0] = 1  # from (0, 0): 2 voxels along z or 3 along y
    prediction = box((1, 5, 9), (0, 1), (0, 1), (0, 1))
    score = one(truth, prediction, (1.0, 1.0, 4.0))
    assert score.voxel.to_truth_mean == 2.0
    assert score.mm.to_truth_mean == 3.0


def test_a_cube_in_a_cube():
    truth, prediction = box((9, 9, 9), (2, 7), (2, 7), (2, 7)), box((9, 9, 9), (3, 6), (3, 6), (3, 6))
    score = one(truth, prediction)
    assert (score.truth_voxels, score.predicted_voxels, score.overlap_voxels) == (125, 27, 27)
    assert (score.truth_surface, score.predicted_surface) == (125 - 27, 27 - 1)
    assert score.voxel.to_truth_mean == 1.0  # each voxel of the inner shell has a face neighbour in the outer one
    faces, edges, corners = 6 * 9, 12 * 3, 8
    expected = (faces + edges * math.sqrt(2) + corners * math.sqrt(3)) / (faces + edges + corners)
    assert score.voxel.to_prediction_mean == pytest.approx(expected)
    assert score.voxel.to_prediction_max == pytest.approx(math.sqrt(3))


def test_an_object_that_fills_the_image_has_its_border_as_surface():
    full = np.ones((4, 5, 6), np.uint8)
    score = one(full, full)
    assert score.truth_surface == 4 * 5 * 6 - 2 * 3 * 4
    assert score.voxel == Distances(*[0.0] * 7)


def test_percentiles_of_each_direction_and_pooled():
    truth, prediction = np.zeros((1, 1, 30), np.uint8), np.zeros((1, 1, 30), np.uint8)
    truth[0, 0, 0] = 1
    prediction[0, 0, [0, 10, 20]] = 1
    score = one(truth, prediction)
    assert score.voxel.to_truth_p95 == pytest.approx(19.0)  # of 0, 10, 20: position 1.9
    assert score.voxel.to_prediction_p95 == 0.0
    assert score.voxel.pooled_p95 == pytest.approx(18.5)  # of 0, 0, 10, 20: position 2.85
    assert (score.voxel.to_truth_mean, score.voxel.to_truth_max) == (10.0, 20.0)


@pytest.mark.parametrize(("in_truth", "in_prediction"), [(False, True), (True, False), (False, False)])
def test_an_empty_mask_has_counts_but_no_distances(in_truth, in_prediction):
    cube = box((4, 4, 4), (1, 3), (1, 3), (1, 3))
    score = one(cube * in_truth, cube * in_prediction)
    assert (score.truth_voxels, score.predicted_voxels) == (8 * in_truth, 8 * in_prediction)
    assert (score.truth_surface, score.predicted_surface) == (8 * in_truth, 8 * in_prediction)
    assert all(math.isnan(value) for unit in (score.voxel, score.mm) for value in vars(unit).values())


def test_ids_need_not_be_consecutive_and_keep_the_given_order():
    truth, prediction = np.zeros((3, 3, 3), np.int16), np.zeros((3, 3, 3), np.int64)
    truth[0], truth[1], truth[2] = 300, 7, 999
    prediction[0], prediction[1], prediction[2] = 300, 300, -4
    scores = organ_scores(truth, prediction, [300, 7, 12], np.eye(3))
    counts = [(s.label, s.truth_voxels, s.predicted_voxels, s.overlap_voxels) for s in scores]
    assert counts == [(300, 9, 18, 9), (7, 9, 0, 0), (12, 0, 0, 0)]


def test_many_organs_in_eight_bits_do_not_overflow():
    ids = np.arange(1, 201)
    truth = ids.astype(np.uint8).reshape(10, 4, 5)
    scores = organ_scores(truth, truth, ids.tolist(), np.eye(3))
    assert all((s.truth_voxels, s.predicted_voxels, s.overlap_voxels) == (1, 1, 1) for s in scores)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 1, 0)])
def test_axis_order_memory_layout_and_type_do_not_matter(order):
    generator = np.random.default_rng(0)
    truth, prediction = generator.integers(0, 3, (2, 7, 8, 9)).astype(np.uint8)
    expected = organ_scores(truth, prediction, [1, 2], np.diag([1.0, 2, 3]))
    turned = [np.asfortranarray(a.transpose(order)).astype(np.int32) for a in (truth, prediction)]
    found = organ_scores(*turned, [1, 2], np.diag([1.0, 2, 3])[:, order])
    for a, b in zip(expected, found, strict=True):
        assert a.columns() == pytest.approx(b.columns(), abs=1e-12)


def test_distances_along_axes_that_are_not_perpendicular():
    """One voxel along the second axis, whose step is (0.3, 2, 0): its length counts, not 2 mm."""
    truth, prediction = box((5, 5, 5), (1, 2), (2, 3), (2, 3)), box((5, 5, 5), (1, 2), (3, 4), (2, 3))
    edges = np.array([[1, 0.3, 0], [0, 2, 0], [0, 0, 3.0]])
    (score,) = organ_scores(truth, prediction, [1], edges)
    assert score.mm.to_truth_max == pytest.approx(math.hypot(0.3, 2))
    assert score.diagonal_mm == pytest.approx(np.linalg.norm([5 + 1.5, 10, 15]))


def test_masks_of_bool_are_taken():
    cube = box((4, 4, 4), (1, 3), (1, 3), (1, 3)).astype(bool)
    assert organ_scores(cube, cube, [1], np.eye(3))[0].overlap_voxels == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": np.zeros((2, 2, 2), np.float32)}, "truth holds float32 values, expected integer"),
        ({"prediction": np.zeros((2, 2, 3), np.uint8)}, r"shape \(2, 2, 2\) but prediction \(2, 2, 3\)"),
        ({"edges_mm": np.eye(2)}, "expected 3 columns, one per array axis"),
        ({"edges_mm": np.diag([1, 1, float("nan")])}, "expected 3 columns"),
        ({"edges_mm": np.diag([1.0, 1, 0])}, "expected 3 columns, one per array axis, that span a space"),
        ({"labels": [0, 1]}, "expected distinct positive numbers"),
        ({"labels": [2, 2]}, "expected distinct positive numbers"),
    ],
)
def test_bad_input_is_one_sentence(change, message):
    empty = np.zeros((2, 2, 2), np.uint8)
    arguments = {"truth": empty, "prediction": empty, "labels": [1], "edges_mm": np.eye(3)} | change
    with pytest.raises(UserError, match=message):
        organ_scores(**arguments)


def assert_equals_medpy(score, truth, prediction, spacing_mm):
    """Every published form, from the columns alone."""
    both = score.truth_voxels + score.predicted_voxels
    assert 2 * score.overlap_voxels / both == pytest.approx(dc(prediction, truth), abs=1e-6)
    assert score.overlap_voxels / (both - score.overlap_voxels) == pytest.approx(jc(prediction, truth), abs=1e-6)
    for found, spacing in ((score.voxel, None), (score.mm, spacing_mm)):
        pair = {"voxelspacing": spacing}
        total = found.to_truth_mean * score.predicted_surface + found.to_prediction_mean * score.truth_surface
        symmetric = total / (score.predicted_surface + score.truth_surface)
        assert found.to_truth_mean == pytest.approx(asd(prediction, truth, **pair), abs=1e-6)
        assert found.to_prediction_mean == pytest.approx(asd(truth, prediction, **pair), abs=1e-6)
        assert symmetric == pytest.approx(assd(prediction, truth, **pair), abs=1e-6)
        assert found.pooled_p95 == pytest.approx(hd95(prediction, truth, **pair), abs=1e-6)
        assert max(found.to_truth_max, found.to_prediction_max) == pytest.approx(
            hd(prediction, truth, **pair), abs=1e-6
        )


shapes = st.tuples(*[st.integers(1, 9)] * 3)
spacings = st.tuples(*[st.floats(0.25, 6.0)] * 3)


@settings(max_examples=60, deadline=None)
@given(st.data(), shapes, spacings)
def test_random_label_maps_equal_medpy(data, shape, spacing_mm):
    maps = arrays(np.uint8, shape, elements=st.integers(0, 2), fill=st.sampled_from([0, 1]))
    truth, prediction = data.draw(maps), data.draw(maps)
    for score in organ_scores(truth, prediction, [1, 2], np.diag(spacing_mm)):
        masks = truth == score.label, prediction == score.label
        if masks[0].any() and masks[1].any():
            assert_equals_medpy(score, *masks, spacing_mm)
        else:
            assert math.isnan(score.voxel.pooled_p95)


def test_organs_that_touch_each_other_and_the_border_equal_medpy():
    grid = np.indices((20, 24, 28))
    truth = (1 + (grid[0] > 8) + 2 * (grid[2] > 13) + 0 * grid[1]).astype(np.uint8)
    prediction = np.roll(truth, 2, 1) * (grid.sum(0) > 9)
    prediction[17:, :3, :3] = 1  # a far island
    for score in organ_scores(truth, prediction, [1, 2, 3, 4], np.diag([2.5, 1.25, 0.8])):
        assert_equals_medpy(score, truth == score.label, prediction == score.label, (2.5, 1.25, 0.8))


def test_real_organs_equal_medpy():
    """The middle of a real label map of abdominal CT, against a shifted copy; organs are cut by the crop's border."""
    volume = read_nifti(real_data("amos_labels/amos_0013.nii.gz"))
    truth = volume.array[200:300, 200:300, 30:70]
    prediction = np.roll(truth, (2, -1, 1), (0, 1, 2))
    ids = [int(i) for i in np.unique(truth) if i]
    assert len(ids) >= 3
    for score in organ_scores(truth, prediction, ids, np.diag(volume.spacing_mm)):
        assert_equals_medpy(score, truth == score.label, prediction == score.label, volume.spacing_mm)


GRIDS = {  # edges of a voxel in mm
    "cubes": np.diag([0.7] * 3),
    "turned cubes": 1.25 * np.array([[0, -1, 0], [1, 0, 0], [0, 0, -1.0]]),
    "thick slices": np.diag([5.0, 0.8, 0.8]),
    "nearly cubes": np.diag([1, 1, 1 + 1e-7]),
    "oblique": np.array([[1, 0.9, 0.0], [0, 0.5, 0.3], [0.2, 0, 2.0]]),
}


@pytest.fixture(scope="module")
def maps():
    """Three organs as shells and lumps; the prediction is near the truth, beyond REACH (an island), or lacks one."""
    generator = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(generator.normal(size=(2, 30, 26, 24)), (0, 3, 3, 3))
    truth = np.digitize(smooth[0], [0.02, 0.06, 0.1]).astype(np.uint8)
    prediction = np.digitize(smooth[0] + 0.3 * smooth[1], [0.02, 0.06, 0.1]).astype(np.uint8)
    truth[:10], prediction[:10] = 0, 0
    prediction[:2, :2, :2] = 1
    truth[14:16, 20:22, 4:9] = 4
    return truth, prediction


def slow_distances(truth, prediction, edges):
    """Distances from the surface of one mask to that of the other, from all pairs of voxels."""
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (prediction, truth)]
    return cdist(*(np.argwhere(surface) @ edges.T for surface in surfaces)).min(1)


@pytest.mark.parametrize("grid", GRIDS)
def test_distances_equal_those_of_all_pairs(grid, maps):
    truth, prediction = maps
    scores = organ_scores(truth, prediction, [1, 2, 3, 4], GRIDS[grid])
    for score in scores[:3]:
        masks = truth == score.label, prediction == score.label
        for found, edges, tolerance in ((score.voxel, np.eye(3), 0), (score.mm, GRIDS[grid], 1e-12)):
            to_truth, to_prediction = slow_distances(*masks, edges), slow_distances(*masks[::-1], edges)
            expected = [f(lengths) for lengths in (to_truth, to_prediction) for f in (np.mean, p95, np.max)]
            expected.append(p95(np.concatenate([to_truth, to_prediction])))
            assert list(vars(found).values()) == pytest.approx(expected, rel=tolerance, abs=0)
    assert scores[0].voxel.to_truth_max > 2 * measurements.REACH
    assert math.isnan(scores[3].mm.pooled_p95)


def p95(lengths):
    return np.percentile(lengths, 95)


def test_the_size_of_the_image_around_the_organs_does_not_matter(maps):
    """Only the part with organs is worked on; its border is no border of an organ unless the image ends there."""
    whole = [np.pad(array, ((0, 0), (5, 30), (9, 1))) for array in maps]
    for small, large in zip(*(organ_scores(*pair, [1, 2, 3], np.eye(3)) for pair in (maps, whole)), strict=True):
        cut = {name: value for name, value in small.columns().items() if name.endswith(("_voxels", "label"))}
        assert cut.items() <= large.columns().items()
    enough = [np.pad(array, 1) for array in maps]
    for small, large in zip(*(organ_scores(*pair, [1, 2, 3], np.eye(3)) for pair in (enough, whole)), strict=True):
        different = {name for name, value in small.columns().items() if value != large.columns()[name]}
        assert different <= {"diagonal_mm"}


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs)


@pytest.mark.parametrize(
    ("apart", "grid", "queries", "trees"),
    [(0, "cubes", 2, 0), (2, "cubes", 2, 0), (9, "cubes", 2, 4), (2, "thick slices", 4, 0), (9, "thick slices", 4, 8)],
)
def test_distance_queries_of_a_case(apart, grid, queries, trees, monkeypatch):
    """One query a direction serves all organs, and on cubes both units; trees serve what lies apart alone."""
    truth = box((40, 12, 12), (3, 8), (3, 9), (2, 9)) + 2 * box((40, 12, 12), (20, 24), (3, 9), (2, 9))
    query, tree = Counted(measurements._nearest), Counted(measurements.cKDTree)
    monkeypatch.setattr(measurements, "_nearest", query)
    monkeypatch.setattr(measurements, "cKDTree", tree)
    organ_scores(truth, np.roll(truth, apart, 0 if apart > 2 else 1), [1, 2], GRIDS[grid])
    assert (query.calls, tree.calls) == (queries, trees)
