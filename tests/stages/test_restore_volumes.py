"""Missing and other volumes are made again from the record beside their manifest, as they were or not at all."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from support import finished_project
from support.records import resealed

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256
from semiseg.cli.main import main
from semiseg.jobs.manifest import listed_files
from semiseg.jobs.record import read_record
from semiseg.paths import record_path
from semiseg.proof.audit.command import Options, audit
from semiseg.report.sources import read_dice, read_shown_case
from semiseg.stages import predict
from semiseg.stages.restore_volumes import restore_volumes

RUN = f"{finished_project.RUN}/cps/seed1"
PREDICTIONS = Path(f"{RUN}/predictions.json")
INDEX = Path("data/prepared/phantom_mri/la_half/index.json")


@pytest.fixture
def threads(monkeypatch):
    """The number of torch's threads in every prediction that begins; torch has its own number again afterwards."""
    before, seen = torch.get_num_threads(), []
    make = predict.predict

    def watched(*arguments):
        seen.append(torch.get_num_threads())
        make(*arguments)

    monkeypatch.setattr(predict, "predict", watched)
    yield seen
    torch.set_num_threads(before)


def delete_volumes(manifest):
    """Delete the files that a manifest lists, and what else was noted of them; returns the hashes that they had."""
    for path in listed_files(manifest):
        path.unlink()
    for note in (manifest.parent / "predictions").glob(".*.json"):
        note.unlink()
    return listed_files(manifest)


def predict_with(threads: int) -> None:
    arguments = finished_project.arguments(finished_project.graph().maker(str(PREDICTIONS)))
    place = arguments.index("--threads") + 1
    for path in delete_volumes(PREDICTIONS):
        assert not path.exists()
    assert main([*arguments[:place], str(threads), *arguments[place + 1 :]]) == 0


def test_volumes_predicted_with_two_threads_are_made_again_with_two(project, threads):
    predict_with(2)
    assert read_record(record_path(PREDICTIONS))["environment"]["threads"] == 2
    hashes = delete_volumes(PREDICTIONS)
    torch.set_num_threads(1)
    restore_volumes(PREDICTIONS)
    assert {path: sha256(path) for path in hashes} == hashes
    assert threads == [2, 2]
    torch.set_num_threads(1)
    assert main(["audit", str(PREDICTIONS), "--recompute", "predict"]) == 0
    assert threads == [2, 2, 2]


def test_volumes_come_back_with_those_that_they_are_made_from_whatever_the_order_of_inputs(project):
    path = record_path(PREDICTIONS)
    resealed(path, inputs=read_json(path)["inputs"][::-1])
    prepared, predicted = delete_volumes(INDEX), delete_volumes(PREDICTIONS)
    restore_volumes(PREDICTIONS)
    assert {path: sha256(path) for path in [*prepared, *predicted]} == {**prepared, **predicted}


def test_one_missing_volume_is_enough_and_nothing_happens_where_none_is_missing(project, threads):
    restore_volumes(PREDICTIONS)
    assert threads == []
    lost, expected = next(iter(listed_files(PREDICTIONS).items()))
    lost.unlink()
    restore_volumes(PREDICTIONS)
    assert sha256(lost) == expected and threads == [1]


@pytest.fixture
def experiment(project):
    """After the way back from an experiment: manifests are those of the table, volumes are those of the experiment."""
    other = PREDICTIONS.parent.with_name("seed2") / "predictions"
    shutil.copytree(other, PREDICTIONS.parent / "predictions", dirs_exist_ok=True)
    expected = listed_files(PREDICTIONS)
    assert {path: sha256(path) for path in expected} != expected
    return expected


def test_volumes_of_an_experiment_are_made_again_for_the_job_that_reads_them(experiment, capsys):
    evaluate = finished_project.graph().maker(f"{RUN}/cases.csv")
    scores = sha256(evaluate.main)
    assert main(finished_project.arguments(evaluate)) == 0
    assert "of its volumes are not here and are made again" in capsys.readouterr().err
    assert sha256(evaluate.main) == scores
    assert {path: sha256(path) for path in experiment} == experiment


def test_volumes_of_an_experiment_count_as_absent_for_audit_page_and_figure(experiment):
    report = audit(finished_project.graph(), [PREDICTIONS], Options())
    assert report.proven and report.away == {str(PREDICTIONS): len(experiment)}
    assert "of the volumes beside it are of other parameters and count as not here" in report.notes[0].text
    spec = finished_project.graph().specs.table("tiny")
    case = sorted(experiment)[0].name.split(".")[0]
    shown = read_shown_case(spec, read_dice(spec)[lambda table: table["case"] == case])
    assert shown is not None and shown.predictions == {}
    wrong = PREDICTIONS.parent / "predictions" / f"{case}.nii.gz"
    wrong.write_bytes(wrong.read_bytes() + b"x")
    assert not audit(finished_project.graph(), [PREDICTIONS], Options()).proven, "no job has made this one"


def test_a_prepared_volume_that_was_changed_is_made_again(project):
    path, expected = next(iter(listed_files(INDEX).items()))
    path.write_bytes(path.read_bytes() + b"x")
    restore_volumes(INDEX)
    assert sha256(path) == expected


def test_volumes_that_come_out_otherwise_are_deleted_and_the_manifest_stays(project):
    path = record_path(PREDICTIONS)
    manifest = PREDICTIONS.read_text(encoding="utf-8")
    resealed(path, outputs=[{**read_json(path)["outputs"][0], "sha256": "0" * 64}])
    volumes = delete_volumes(PREDICTIONS)
    with pytest.raises(UserError, match="come out otherwise on this machine: add `--forcerun predict`"):
        restore_volumes(PREDICTIONS)
    assert PREDICTIONS.read_text(encoding="utf-8") == manifest
    assert not any(volume.exists() for volume in volumes)


def test_volumes_of_other_code_are_not_made_again(project):
    path = record_path(PREDICTIONS)
    resealed(path, code={**read_json(path)["code"], "hash": "0" * 64})
    delete_volumes(PREDICTIONS)
    with pytest.raises(UserError, match="was made by other code, and its volumes are not here"):
        restore_volumes(PREDICTIONS)


def test_a_damaged_manifest_is_refused(project):
    PREDICTIONS.write_text(json.dumps({"files": []}), encoding="utf-8")
    with pytest.raises(UserError, match="is not a list of files"):
        restore_volumes(PREDICTIONS)
