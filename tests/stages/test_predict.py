"""Prediction: both grids, resumed case by case, never from other weights."""

import numpy as np
import pytest
from support import prepared_cases

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.data.images import read_nifti
from semiseg.data.store import read_label
from semiseg.learning.build import choose_runtime
from semiseg.stages.predict import predict
from semiseg.stages.train import train

CPU = choose_runtime("cpu", 1, 1e9)


@pytest.fixture
def trained(tmp_path):
    """A finished run of a few steps: index, split, spec, weights."""
    index, split = prepared_cases.build(tmp_path)
    return index, split, prepared_cases.train_spec("cps", iterations=4), tmp_path / "run" / "weights.safetensors"


def run(trained, method=None):
    index, split, spec, weights = trained
    spec = spec if method is None else {**spec, "method": method}
    train(spec, index, split, weights.parent / "state", prepared_cases.outputs(weights.parent), CPU)
    out = weights.parent / "predictions.json"
    predict(spec, weights, index, split, out, CPU)
    return out


def times(out):
    return {path.name: path.stat().st_mtime_ns for path in (out.parent / "predictions").glob("*.nii.gz")}


def test_a_control_that_is_shown_the_truth_gives_it_back_on_both_grids(trained):
    out = run(trained, "control_perfect")
    index = read_json(trained[0])
    for case in read_json(out)["cases"]:
        truth = read_label(trained[0].parent / index["cases"][case]["file"])
        for name in (f"{case}.nii.gz", f"{case}.prepared.nii.gz"):
            prediction = read_nifti(out.parent / "predictions" / name)
            np.testing.assert_array_equal(prediction.array, truth)
            assert prediction.array.dtype == np.uint8
            np.testing.assert_allclose(prediction.affine, np.diag([2.0, 1, 1, 1]))


def test_finished_cases_are_kept_and_damaged_ones_made_again(trained):
    index, split, spec, weights = trained
    out = run(trained)
    first, manifest = times(out), out.read_bytes()
    (out.parent / "predictions" / "test0.nii.gz").write_bytes(b"half")
    out.unlink()
    predict(spec, weights, index, split, out, CPU)
    second = times(out)
    assert out.read_bytes() == manifest
    assert second["test0.nii.gz"] != first["test0.nii.gz"]
    assert second["test1.nii.gz"] == first["test1.nii.gz"]


def test_other_weights_make_every_case_again(trained):
    index, split, spec, weights = trained
    out = run(trained)
    first = times(out)
    again = {**spec, "seed": 9}
    train(again, index, split, weights.parent / "state", prepared_cases.outputs(weights.parent), CPU)
    predict(again, weights, index, split, out, CPU)
    assert all(moment != first[name] for name, moment in times(out).items())


def test_a_case_that_was_not_prepared_is_named(trained):
    index, split, spec, weights = trained
    run(trained)
    write_json(split, {**read_json(split), "test": ["nobody"]})
    with pytest.raises(UserError, match="test case nobody is not among the prepared cases"):
        predict(spec, weights, index, split, weights.parent / "p.json", CPU)


def test_damaged_weights_are_one_sentence(trained):
    index, split, spec, weights = trained
    run(trained)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match=r"weights\.safetensors is damaged .* train the run again"):
        predict(spec, weights, index, split, weights.parent / "p.json", CPU)
