"""What `semiseg plan` says: counted work, measured runs, disk, and what is there already."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from semiseg.cli import main
from semiseg.estimate import CROP, prepared_voxels, work
from semiseg.params import parse_params, read
from semiseg.plan import Plan

ROOT = Path(__file__).parent.parent
CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def spec(plan, table="demo", method="cps", **training):
    found = plan.training(plan.runs(table, method)[0])
    return {**found, "training": {**found["training"], **training}}


@pytest.fixture
def plan():
    return Plan(read(ROOT / "params.yaml"))


def test_work_grows_with_crops_and_voxels_and_counts_once(plan, tmp_path):
    small = work(spec(plan, patch=list(CROP), batch={"labelled": 1, "unlabelled": 1}), 14, tmp_path)
    files = list(tmp_path.iterdir())
    large = work(spec(plan, patch=[64, 128, 64], batch={"labelled": 2, "unlabelled": 2}), 14, tmp_path)
    assert list(tmp_path.iterdir()) == files, "the same method, network and code are counted once"
    assert large.operations == pytest.approx(8 * small.operations)
    assert small.memory < large.memory < 8 * small.memory, "weights do not grow with the crop"
    assert small.parameters == large.parameters == 2 * work(spec(plan, method="sup_only"), 14, tmp_path).parameters


def test_operations_of_a_convolution_by_hand(plan, tmp_path):
    """Two networks cost twice as much as one; a step is about three forward passes."""
    one = work(spec(plan, method="sup_only"), 14, tmp_path).operations
    two = work(spec(plan, method="cps"), 14, tmp_path).operations
    assert two == pytest.approx(2 * one, rel=0.01)
    voxels = 4 * 16 * 32 * 32  # crops of a step of the demo
    head = 2 * 8 * 14 * voxels  # 1x1x1 from 8 channels to 14 classes
    first = 2 * 27 * 1 * 8 * voxels
    assert one > 3 * head + 2 * first


def test_prepared_voxels_by_hand():
    steps = [{"step": "clip"}, {"step": "resample", "spacing": [2.0, 2.0, 1.0]}]
    assert prepared_voxels((100, 80, 10), (1.0, 1.0, 5.0), steps) == 50 * 40 * 50
    assert prepared_voxels((100, 80, 10), (1, 1, 5), [{"step": "resample", "shape": [8, 8, 4]}]) == 256
    assert prepared_voxels((100, 80, 10), (1, 1, 5), [{"step": "resample", "factor": 0.5}]) == 10000
    assert prepared_voxels((100, 80, 10), (1, 1, 5), [{"step": "resample", "factor": [0.5, 0.5, 1]}]) == 20000


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, *arguments: str) -> str:
    assert main(["plan", *arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_a_plan_before_anything_runs(project, capsys):
    text = said(capsys, "la_8", "--tflops", "10")
    assert "2 of 2 runs, about" in text and "10 TFLOP/s (given)" in text
    assert "V-Net 0 of 1 9,448,866" in text
    assert "estimated" in text and "already there" not in text
    assert "prepared cases at most" in text


def test_finished_runs_are_measured_and_not_counted_again(project, capsys):
    """The hours of the row that is done are gone, and its speed prices the other."""
    plan = Plan(parse_params(CONTENT))
    folder = Path(plan.runs("la_8", "sup_only")[0].folder)
    folder.mkdir(parents=True)
    cost = {"device": "Toy GPU", "iterations": 6000, "seconds_per_iteration": 2.0, "parameters": 9_447_000}
    (folder / "cost.json").write_text(json.dumps({**cost, "peak_memory_bytes": 3 * 2**30}))
    (folder / "weights.safetensors").touch()
    state = Path("results/state/la/la/8lab/ua_mt/seed1337/state.safetensors")
    state.parent.mkdir(parents=True)
    state.touch()
    Path("data/raw/la").mkdir(parents=True)
    Path("data/raw/la/manifest.json").touch()
    text = said(capsys, "la_8")
    assert "1 of 2 runs, about" in text and "of finished runs here" in text
    assert "V-Net 1 of 1 9,447,000 2.00 0.0 3.0 measured: Toy GPU" in text
    assert "raw cases (data/raw/la/manifest.json)" in text
    assert "1 runs that were interrupted and will continue" in text


def test_rows_that_cannot_be_served_are_told(project, capsys):
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    params["protocols"]["demo"]["training"]["batch"] = {"labelled": 2, "unlabelled": 3}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    text = said(capsys, "demo")
    assert "rows left out - guidednet: guidednet pairs labelled with unlabelled crops, but the protocol takes 2" in text


def test_an_unknown_table_is_one_sentence(project, capfd):
    assert main(["plan", "dmeo"]) == 2
    assert "unknown table 'dmeo'; known: " in capfd.readouterr().err
