"""Prediction: both grids, resumed case by case, never from other weights, written while the next case is predicted."""

import threading
import weakref

import numpy as np
import pytest
import torch
from skimage import measure
from support import prepared_cases

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.data.images import read_nifti
from semiseg.learning.build import choose_runtime
from semiseg.methods.cps import CPS
from semiseg.stages import predictions
from semiseg.stages.predict import Predictor, predict
from semiseg.stages.predictions import write_predictions
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


def test_a_protocol_may_keep_the_largest_component_of_each_organ(trained):
    """On both grids, and nothing else changes; without the key the parameters of a run are what they were."""
    index, split, spec, weights = trained
    whole = run(trained)
    inference = {**spec["inference"], "largest_component": True}
    kept = weights.parent / "kept" / "predictions.json"
    predict({**spec, "inference": inference}, weights, index, split, kept, CPU)
    removed = 0
    for case in read_json(whole)["cases"]:
        for end in ("", ".prepared"):
            before, after = (
                read_nifti(out.parent / "predictions" / f"{case}{end}.nii.gz").array for out in (whole, kept)
            )
            for organ in range(1, prepared_cases.CLASSES):
                sizes = np.sort(np.bincount(measure.label(before == organ).ravel())[1:])
                assert (after == organ).sum() == sizes[-1:].sum()
            assert not np.any((after != before) & (after != 0))
            removed += np.sum(after != before)
    assert removed > 0, "else this test shows nothing"


def test_a_method_may_change_the_scans_that_it_predicts(trained, monkeypatch):
    """Each case has random numbers of its own, which are the same in every call and reach no training."""
    index, split, spec, weights = trained
    run(trained)
    seen, presented = [], CPS.presented

    def changed(method, image, rng):
        seen.append(rng.random())
        return np.zeros_like(presented(method, image, rng))

    monkeypatch.setattr(CPS, "presented", changed)
    for number in (1, 2):
        predict(spec, weights, index, split, weights.parent / str(number) / "predictions.json", CPU)
    cases = read_json(split)["test"]
    assert seen[: len(cases)] == seen[len(cases) :] and len(set(seen)) == len(cases)
    maps = [read_nifti(weights.parent / "1" / "predictions" / f"{case}.prepared.nii.gz").array for case in cases]
    assert np.array_equal(*maps), "of empty scans"


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


SPEC = prepared_cases.train_spec()


@pytest.fixture
def made(tmp_path):
    """Arguments of ``write_predictions`` but for the function that predicts, and the manifest that it writes."""
    index, split = prepared_cases.build(tmp_path)
    weights = tmp_path / "run" / "weights.safetensors"
    weights.parent.mkdir()
    weights.touch()
    return (SPEC, weights, index, split, weights.parent / "predictions.json"), weights.parent / "predictions"


def certain(file):
    """Scores of class 1 in a case, 2 in the next."""
    scores = np.zeros((prepared_cases.CLASSES, *[prepared_cases.SIDE] * 3), np.float32)
    scores[1 + int(file.stem[-1])] = 1
    return scores


def test_a_case_is_written_while_the_next_is_predicted(made, monkeypatch):
    arguments, folder = made
    began, write = threading.Event(), predictions.write_nifti

    def late(path, volume):
        assert began.wait(20), "the next case begins before the files of this one are there"
        write(path, volume)

    def predict_case(file, room):
        room()
        if file.stem == "test1":
            assert not list(folder.rglob("*.nii.gz"))
            began.set()
        return certain(file)

    monkeypatch.setattr(predictions, "write_nifti", late)
    write_predictions(*arguments, predict_case)
    manifest = read_json(arguments[-1])
    assert list(manifest["files"]) == [f"test{i}{end}.nii.gz" for i in range(2) for end in ("", ".prepared")]
    for case, label in (("test0", 1), ("test1", 2)):
        assert (read_nifti(folder / f"{case}.nii.gz").array == label).all()


def test_one_case_has_scores_in_memory_at_a_time(made):
    arguments, _ = made
    seen = []

    def predict_case(file, room):
        room()
        assert all(scores() is None for scores in seen)
        scores = certain(file)
        seen.append(weakref.ref(scores))
        return scores

    write_predictions(*arguments, predict_case)
    assert len(seen) == 2


@pytest.mark.parametrize("failing", ["test0", "test1"])
def test_files_that_cannot_be_written_fail_the_job_and_lose_no_other_case(made, monkeypatch, failing):
    arguments, folder = made
    write_predictions(*arguments, lambda file, room: certain(file))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write, predicted = predictions.write_nifti, []
    arguments[1].write_bytes(b"other weights")

    def full(path, volume):
        if path.name.startswith(failing):
            raise UserError(f"{path} cannot be written: the disk is full")
        write(path, volume)

    def predict_case(file, room):
        predicted.append(file.stem)
        return certain(file)

    with monkeypatch.context() as patch:
        patch.setattr(predictions, "write_nifti", full)
        with pytest.raises(UserError, match=f"{failing}.* cannot be written: the disk is full"):
            write_predictions(*arguments, predict_case)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    predicted.clear()
    write_predictions(*arguments, predict_case)
    assert predicted == (["test0", "test1"] if failing == "test0" else ["test1"])


def test_a_device_without_the_memory_is_one_sentence(trained, monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Predictor, "_window", too_large)
    with pytest.raises(UserError, match=r"test0\.h5: a batch of 4 windows of 16 x 16 x 32 voxels does not fit"):
        run(trained)
