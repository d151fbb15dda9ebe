"""The training of a control: nothing is trained, and its files are those of any run."""

import json

from support import prepared_cases

from semiseg.base.files import UNFINISHED
from semiseg.learning import weights
from semiseg.learning.build import choose_runtime
from semiseg.learning.history import History
from semiseg.stages.train import train
from semiseg.stages.train_control import train_control


def run(folder, threads=1):
    folder.mkdir()
    train_control(folder / "weights.safetensors", folder / "history.csv", folder / "cost.json", threads)
    return folder


def test_weights_and_history_have_the_bytes_of_a_run_without_steps(tmp_path):
    folder = run(tmp_path / "run")
    weights.save(tmp_path / "w", {}, {"networks": [], "iteration": 0})
    assert (folder / "weights.safetensors").read_bytes() == (tmp_path / "w").read_bytes()
    assert weights.load(folder / "weights.safetensors") == ({}, {"networks": [], "iteration": 0})
    History().write(tmp_path / "h")
    assert (folder / "history.csv").read_bytes() == (tmp_path / "h").read_bytes() == b"iteration,lr,total,val_dice\n"


def test_the_cost_names_no_time_and_is_read_like_that_of_any_run(tmp_path):
    control = json.loads((run(tmp_path / "run", threads=3) / "cost.json").read_text(encoding="utf-8"))
    assert control == {
        "device": "CPU",
        "threads": 3,
        "parameters": 0,
        "iterations": 0,
        "seconds_per_iteration": None,
        "waiting_share": None,
        "hours": None,
        "peak_memory_bytes": None,
        "memory": "host",
    }
    index, split = prepared_cases.build(tmp_path)
    out, runtime = prepared_cases.outputs(tmp_path / "trained"), choose_runtime("cpu", 1, 1e9)
    train(prepared_cases.train_spec(iterations=1, validation=None), index, split, tmp_path / "state", out, runtime)
    assert list(control) == list(json.loads(out.cost.read_text(encoding="utf-8")))


def test_what_a_killed_call_has_left_is_removed(tmp_path):
    folder = run(tmp_path / "run")
    left = folder / f"{UNFINISHED}0123.safetensors"
    before = sorted(path.name for path in folder.iterdir())
    left.touch()
    train_control(folder / "weights.safetensors", folder / "history.csv", folder / "cost.json", 1)
    assert sorted(path.name for path in folder.iterdir()) == before
