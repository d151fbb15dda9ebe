"""The predictions of a control: the same files as a method's, and the same numbers as by a sliding window."""

import json

import numpy as np
import pytest
import torch
from support import prepared_cases
from support.prepared_cases import CLASSES

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.blocks.losses import one_hot
from semiseg.data.geometry import Geometry
from semiseg.data.images import read_nifti
from semiseg.data.raw_grid import to_native
from semiseg.data.store import PreparedCase, read_geometry, read_label, write_case
from semiseg.learning.inference import slide
from semiseg.stages.predict_control import predict_control

SHAPE, AFFINE = (20, 18, 15), np.diag([2.3, 1.2, 1.4, 1.0])  # a raw grid that the prepared cases do not have


@pytest.fixture
def data(tmp_path):
    """Index, split and weights of test cases that lie on another grid than their raw scans."""
    index, split = prepared_cases.build(tmp_path)
    for case in read_json(split)["test"]:
        path = tmp_path / read_json(index)["cases"][case]["file"]
        label, geometry = read_label(path), read_geometry(path)
        raw = Geometry(geometry.shape, geometry.spacing_mm, geometry.affine, "xyz", SHAPE, AFFINE)
        write_case(path, PreparedCase(np.zeros(label.shape, np.float32), label, raw))
    weights = tmp_path / "run" / "weights.safetensors"
    weights.parent.mkdir()
    weights.touch()
    return index, split, weights


def run(data, method):
    index, split, weights = data
    out = weights.parent / "predictions.json"
    predict_control(prepared_cases.train_spec(method), weights, index, split, out)
    return out


def predicted(out):
    """Label maps of the manifest's cases, by the names of their files, and the truth of each case."""
    index = read_json(out.parents[1] / "index.json")
    for case in read_json(out)["cases"]:
        file = out.parents[1] / index["cases"][case]["file"]
        maps = (read_nifti(out.parent / "predictions" / f"{case}{end}") for end in (".prepared.nii.gz", ".nii.gz"))
        yield file, *maps


def classes_of(windows):
    """Class scores of windows that hold the truth in place of an image."""
    return one_hot(windows[:, 0].long(), CLASSES).float()


def test_the_positive_control_gives_the_truth_as_a_sliding_window_over_it_would(data):
    found = list(predicted(run(data, "control_perfect")))
    assert len(found) == 2
    for file, stored, raw in found:
        truth = read_label(file)
        np.testing.assert_array_equal(stored.array, truth)
        assert stored.array.dtype == raw.array.dtype == np.uint8
        scores = slide(classes_of, torch.from_numpy(truth)[None].float(), CLASSES, (16, 16, 32), (8, 8, 16))
        np.testing.assert_array_equal(raw.array, to_native(scores.numpy(), read_geometry(file)))
        np.testing.assert_allclose(raw.affine, AFFINE)
        assert raw.array.shape == SHAPE and set(np.unique(raw.array)) == set(range(CLASSES))


def test_the_negative_control_gives_background(data):
    for _, stored, raw in predicted(run(data, "control_empty")):
        assert raw.array.shape == SHAPE and not stored.array.any() and not raw.array.any()


def test_finished_cases_are_kept_and_those_of_another_control_are_not(data):
    out = run(data, "control_perfect")
    folder = out.parent / "predictions"
    first, manifest = {path: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")}, out.read_bytes()
    run(data, "control_perfect")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")} == first
    assert run(data, "control_empty").read_bytes() != manifest


def test_a_test_case_without_truth_is_refused(data):
    split = data[1]
    parts = json.loads(split.read_text(encoding="utf-8"))
    write_json(split, {**parts, "test": parts["unlabelled"][:1]})
    with pytest.raises(UserError, match=r"unlabelled0\.h5 has no label map: only cases with published truth"):
        run(data, "control_perfect")
    write_json(split, {**parts, "test": ["nobody"]})
    with pytest.raises(UserError, match="test case nobody is not among the prepared cases"):
        run(data, "control_perfect")
