"""Prediction: both grids, resumed case by case, never from other weights."""

import numpy as np
import pytest
from support import prepared_cases

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.data.images import read_nifti
from semiseg.learning.build import choose_runtime
from semiseg.stages.predict import predict
from semiseg.stages.train import train

CPU = choose_runtime("cpu", 1, 1e9)


@pytest.fixture
def trained(tmp_path):
    """A finished run of a few steps: index, split, spec, weights."""
    index, split = prepared_cases.build(tmp_path)
    return index, split, prepared_cases.train_spec("cps", iterations=4), tmp_path / "run" / "weights.safetensors"


def run(trained):
    index, split, spec, weights = trained
    train(spec, index, split, weights.parent / "state", prepared_cases.outputs(weights.parent), CPU)
    out = weights.parent / "predictions.json"
    predict(spec, weights, index, split, out, CPU)
    return out


def times(out):
    return {path.name: path.stat().st_mtime_ns for path in (out.parent / "predictions").glob("*.nii.gz")}


def test_equal_grids_get_equal_label_maps(trained):
    out = run(trained)
    for case in read_json(out)["cases"]:
        raw, stored = (read_nifti(out.parent / "predictions" / f"{case}{end}.nii.gz") for end in ("", ".prepared"))
        np.testing.assert_array_equal(raw.array, stored.array)
        assert raw.array.shape == (prepared_cases.SIDE,) * 3 and raw.array.dtype == stored.array.dtype == np.uint8
        for found in (raw, stored):
            np.testing.assert_allclose(found.affine, np.diag([2.0, 1, 1, 1]))


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
