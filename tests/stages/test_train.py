"""The training loop: same bits twice, exact after kills, blind to the truth of unlabelled cases."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from support import prepared_cases
from support.prepared_cases import train_spec

from semiseg.base.errors import UserError
from semiseg.base.progress import set_up_logging
from semiseg.learning import weights
from semiseg.learning.batches import Sampler
from semiseg.learning.build import choose_runtime
from semiseg.learning.cost import Cost, shared_gpu
from semiseg.learning.estimate import Step, work
from semiseg.method import Adam, Method
from semiseg.stages.train import train


def run(folder: Path, spec, data=None, out="run", seconds=1e9):
    """Train in this process; returns the path of the weights."""
    index, split = data or prepared_cases.build(folder)
    target = folder / out
    machine = choose_runtime("cpu", 1, seconds)
    train(spec, index, split, folder / f"state_{out}", prepared_cases.outputs(target), machine)
    return target / "weights.safetensors"


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    data = prepared_cases.build(tmp_path)
    first, second = (run(tmp_path, train_spec("mt"), data, out) for out in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert (first.parent / "history.csv").read_bytes() == (second.parent / "history.csv").read_bytes()
    other = run(tmp_path, {**train_spec("mt"), "seed": 6}, data, "c")
    assert other.read_bytes() != first.read_bytes()


@pytest.mark.parametrize("method", ["mt", "ua_mt", "cps", "guidednet"])
def test_truth_of_unlabelled_cases_is_never_used(tmp_path, method):
    results = []
    for truth in ("absent", "there", "poisoned"):
        folder = tmp_path / truth
        folder.mkdir()
        results.append(run(folder, train_spec(method), prepared_cases.build(folder, truth)).read_bytes())
    assert results[0] == results[1] == results[2]


def test_a_poisoned_label_of_a_labelled_case_does_raise(tmp_path):
    """The counterpart of the test above: an out-of-range class cannot pass unnoticed where labels are used."""
    index, split = prepared_cases.build(tmp_path, "poisoned")
    content = json.loads(split.read_text(encoding="utf-8"))
    content["labelled"], content["unlabelled"] = content["unlabelled"], content["labelled"]
    split.write_text(json.dumps(content))
    with pytest.raises((IndexError, RuntimeError)):
        run(tmp_path, train_spec("mt"), (index, split))


def test_history_names_every_term_and_every_validation(tmp_path):
    history = pd.read_csv(run(tmp_path, train_spec("mt")).parent / "history.csv")
    expected = ["iteration", "lr", "total", "loss_supervised", "loss_consistency", "val_dice"]
    assert list(history.columns) == expected
    assert history["iteration"].tolist() == list(range(6))
    assert (history.index[history["val_dice"].notna()] + 1).tolist() == [4, 6], (
        "from step 4 on, every 2, and at the end"
    )


def test_the_checkpoint_with_the_best_validation_is_kept(tmp_path):
    path = run(tmp_path, train_spec("cps", iterations=8))
    history = pd.read_csv(path.parent / "history.csv")
    _, note = weights.load(path)
    assert note["networks"] in (["a"], ["b"]), "one network predicts, the better one"
    assert note["val_dice"] == pytest.approx(history["val_dice"].max(), rel=1e-6)
    assert note["iteration"] == history["val_dice"].idxmax() + 1


def test_both_networks_are_kept_where_their_mean_predicts(tmp_path):
    spec = train_spec("cps")
    spec["inference"]["networks"] = "mean_logits"
    _, note = weights.load(run(tmp_path, spec))
    assert note["networks"] == ["a", "b"]


def test_without_validation_the_last_weights_are_kept(tmp_path):
    _, note = weights.load(run(tmp_path, train_spec(validation=None)))
    assert note == {"networks": ["network"], "iteration": 6, "val_dice": None, "patch": [16, 16, 32]}


def test_patience_ends_a_run_early(tmp_path):
    rule = {"every": 1, "per": "iteration", "region": "centre_crop", "absent": "half", "patience": 2}
    spec = train_spec(iterations=40, validation=rule, optimiser={"lr": 1e-12, "momentum": 0.0, "weight_decay": 0.0})
    history = pd.read_csv(run(tmp_path, spec).parent / "history.csv")
    assert len(history) == 3, "best at step 1, then two steps without gain"


def test_a_kill_after_an_early_end_changes_nothing(tmp_path, monkeypatch):
    """The last state was saved when patience had run out, and the process died before it wrote the weights."""
    rule = {"every": 1, "per": "iteration", "region": "centre_crop", "absent": "half", "patience": 2}
    spec = train_spec(iterations=40, validation=rule, optimiser={"lr": 1e-12, "momentum": 0.0, "weight_decay": 0.0})
    data = prepared_cases.build(tmp_path)
    expected = run(tmp_path, spec, data, "whole")
    with monkeypatch.context() as patch:
        patch.setattr("semiseg.stages.train._finish", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit):
            run(tmp_path, spec, data, "killed", seconds=0)
    again = run(tmp_path, spec, data, "killed")
    assert again.read_bytes() == expected.read_bytes()
    assert (again.parent / "history.csv").read_bytes() == (expected.parent / "history.csv").read_bytes()


class OwnModules(Method):
    """A method whose network is a module of its own, so that ``networks`` is empty."""

    inference_networks = ("body",)
    labelled_only = True

    def __init__(self, context, **hyper):
        super().__init__(context, **hyper)
        self.body = torch.nn.Conv3d(1, self.output_channels, 1)

    def losses(self, batch, time):
        return {"supervised": self.context.supervised(self.body(batch.images), batch.labels)}


def test_a_method_whose_networks_are_modules_of_its_own_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("semiseg.learning.build.method_class", lambda name: OwnModules)
    path = run(tmp_path, train_spec(iterations=4, validation=None))
    tensors, note = weights.load(path)
    assert note == {"networks": ["body"], "iteration": 4, "val_dice": None, "patch": [16, 16, 32]}
    assert {name.partition(".")[0] for name in tensors} == {"body"}
    assert len(pd.read_csv(path.parent / "history.csv")) == 4
    assert json.loads((path.parent / "cost.json").read_text(encoding="utf-8"))["parameters"] > 0
    planned = work({"row": Step(train_spec(), prepared_cases.CLASSES)}, tmp_path / "counts", 1, "count")["row"]
    assert planned.operations > 0 and planned.parameters == 2 * prepared_cases.CLASSES


def test_the_cost_of_a_run_that_shared_its_gpu_says_so():
    assert shared_gpu("Toy GPU", 1) == "Toy GPU"
    assert shared_gpu("Toy GPU", 2) == "Toy GPU shared by up to 2 runs"


def test_the_cost_of_a_run_is_measured(tmp_path):
    path = run(tmp_path, train_spec("mt", iterations=4))
    cost = json.loads((path.parent / "cost.json").read_text(encoding="utf-8"))
    assert cost["iterations"] == 4 and cost["device"] == "CPU" and cost["memory"] == "host"
    assert cost["parameters"] == sum(each.numel() for each in weights.load(path)[0].values()), "one network, not two"
    assert 0 < 4 * cost["seconds_per_iteration"] < 3600 * cost["hours"], "validation takes time, but is no step"
    assert 2**26 < cost["peak_memory_bytes"] < 2**34


def test_the_share_of_the_time_that_steps_wait_for_data_is_logged_and_kept_over_a_kill(tmp_path, monkeypatch, capfd):
    set_up_logging()
    data, real = prepared_cases.build(tmp_path), Sampler.__getitem__

    def slow(self, step):
        if step == 6:
            sys.exit("killed")
        time.sleep(0.2 if step < 3 else 0.0)
        return real(self, step)

    monkeypatch.setattr(Sampler, "__getitem__", slow)
    spec = train_spec(iterations=7, validation=None)
    with pytest.raises(SystemExit):
        run(tmp_path, spec, data, seconds=0)
    monkeypatch.setattr(Sampler, "__getitem__", real)
    cost = json.loads((run(tmp_path, spec, data).parent / "cost.json").read_text(encoding="utf-8"))
    assert 0.6 < cost["waiting_share"] * 7 * cost["seconds_per_iteration"] < 7 * cost["seconds_per_iteration"]
    assert f"; steps waited for data in {cost['waiting_share']:.1%} of their time" in capfd.readouterr().err


@pytest.mark.parametrize(("is_done", "counted"), [(True, True), (False, False)])
def test_a_gpu_that_still_works_does_not_wait(monkeypatch, is_done, counted):
    monkeypatch.setattr("semiseg.learning.cost._queued", lambda device: SimpleNamespace(query=lambda: is_done))
    cost = Cost()

    def batches():
        time.sleep(0.02)
        yield 1

    assert list(cost.awaited(batches(), torch.device("cuda"))) == [1]
    assert (cost.waiting > 0.02) == counted and (cost.waiting == 0) != counted


@pytest.mark.parametrize("machine", [{"loader_threads": 2}, {"data_on_device": True}], ids=str)
def test_how_batches_are_prepared_does_not_change_the_bytes(tmp_path, machine):
    """Also after an interruption, and with poisoned truth of the unlabelled cases."""
    data, spec = prepared_cases.build(tmp_path, "poisoned"), train_spec("mt", validation=None)
    expected = run(tmp_path, spec, data)
    runtime = replace(choose_runtime("cpu", 1, 0), **machine)
    out, state = prepared_cases.outputs(tmp_path / "other"), tmp_path / "state_other"
    with pytest.raises(UserError, match="missing"):  # in the middle: the case is put back afterwards
        hidden = tmp_path / "labelled1.h5"
        hidden.rename(tmp_path / "aside")
        train(spec, *data, state, out, runtime)
    (tmp_path / "aside").rename(hidden)
    train(spec, *data, state, out, runtime)
    assert out.weights.read_bytes() == expected.read_bytes()
    assert out.history.read_bytes() == (expected.parent / "history.csv").read_bytes()


def test_a_protocol_that_cannot_serve_a_method_is_refused(tmp_path):
    spec = train_spec("guidednet", batch={"labelled": 2, "unlabelled": 1})
    with pytest.raises(UserError, match=r"pairs labelled with unlabelled crops, .* takes 2 and 1 in a step: change"):
        run(tmp_path, spec)


def test_divergence_is_one_sentence(tmp_path):
    spec = train_spec(iterations=30, optimiser={"lr": 1e30, "momentum": 0.0, "weight_decay": 0.0}, validation=None)
    with pytest.raises(UserError, match=r"training diverged: total loss is (nan|inf) at step \d+ .*lower the"):
        run(tmp_path, spec)


def test_cases_that_cannot_be_trained_on_are_named(tmp_path):
    index, split = prepared_cases.build(tmp_path)
    content = json.loads(split.read_text(encoding="utf-8"))
    for part, name, sentence in [
        ("labelled", "nobody", "case nobody .labelled. is not among the prepared cases"),
        ("labelled", "unlabelled0", "case unlabelled0 .labelled. has no label"),
        ("val", "unlabelled0", "case unlabelled0 .val. has no label"),
    ]:
        split.write_text(json.dumps({**content, part: [name]}))
        with pytest.raises(UserError, match=sentence):
            run(tmp_path, train_spec("mt"), (index, split))
    split.write_text(json.dumps({**content, "val": []}))
    with pytest.raises(UserError, match="no validation cases, which the protocol needs"):
        run(tmp_path, train_spec("mt"), (index, split))
    split.write_text(json.dumps({**content, "unlabelled": []}))
    with pytest.raises(UserError, match="no unlabelled cases, which this method learns from"):
        run(tmp_path, train_spec("mt"), (index, split))


def test_a_state_of_other_parameters_or_damaged_is_not_continued(tmp_path, capfd):
    data = prepared_cases.build(tmp_path)
    expected = run(tmp_path, train_spec("mt"), data, "a").read_bytes()
    state = tmp_path / "state_b" / "state.safetensors"
    weights.save(state, {"x": torch.zeros(1)}, {"fingerprint": "another run", "iteration": 3})
    assert run(tmp_path, train_spec("mt"), data, "b").read_bytes() == expected
    assert "starting from step 0" in capfd.readouterr().err
    state.write_bytes(b"half a file")
    assert run(tmp_path, train_spec("mt"), data, "b").read_bytes() == expected
    assert "is damaged" in capfd.readouterr().err


def test_a_kill_at_a_random_step_changes_nothing(tmp_path):
    """DAN has an opponent with Adam, an optimiser of its own."""
    index, split = prepared_cases.build(tmp_path)
    optimiser = {"rule": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001}
    spec = train_spec("dan", iterations=14, optimiser=optimiser)
    spec["training"]["validation"]["every"] = 14
    expected = run(tmp_path, spec, (index, split), "whole")
    target, state = tmp_path / "killed", tmp_path / "state"
    command = [
        sys.executable,
        "-m",
        "semiseg",
        "train",
        "--spec",
        json.dumps(spec),
        "--prepared",
        index,
        "--split",
        split,
    ]
    command += ["--state", state, "--out", target / "weights.safetensors"]
    command += ["--history", target / "history.csv", "--cost", target / "cost.json"]
    command += ["--checkpoint-seconds", "0", "--device", "cpu"]
    _start_and_kill_at(command, state / "state.safetensors", random.Random(7).randrange(5, 12))
    assert not (target / "weights.safetensors").exists()
    last = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert last.returncode == 0, last.stderr
    assert "continuing from step" in last.stderr
    assert (target / "weights.safetensors").read_bytes() == expected.read_bytes()
    assert (target / "history.csv").read_bytes() == (expected.parent / "history.csv").read_bytes()


def _iteration(state: Path) -> int:
    """Steps that a state file holds; its tensors are not read."""
    with safe_open(state, framework="numpy") as file:
        return int(json.loads(file.metadata()["semiseg"])["iteration"])


def _start_and_kill_at(command, state: Path, step: int) -> None:
    """Start the process and kill -9 it once its state file has reached a step."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if state.exists() and _iteration(state) >= step:
                break
            time.sleep(0.02)
        assert process.poll() is None, "the process ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)


def test_a_supervised_row_is_the_same_with_and_without_unlabelled_cases(tmp_path):
    """The split of a table serves its supervised row too: the same number of steps, the same crops, the same bits."""
    index, split = prepared_cases.build(tmp_path)
    parts = json.loads(split.read_text(encoding="utf-8"))
    assert parts["unlabelled"]
    alone = tmp_path / "alone.json"
    alone.write_text(json.dumps({**parts, "unlabelled": []}), encoding="utf-8")
    spec = train_spec("sup_only", iterations=None, epochs=4, epoch="unlabelled")
    both, labelled = run(tmp_path, spec, (index, split), "both"), run(tmp_path, spec, (index, alone), "alone")
    assert both.read_bytes() == labelled.read_bytes()
    history = (both.parent / "history.csv").read_bytes()
    assert history == (labelled.parent / "history.csv").read_bytes()
    assert len(pd.read_csv(both.parent / "history.csv")) == 4 * max(len(parts["labelled"]) // 4, 1)


MISTAKES = {
    "a weight of a term that does not exist": (
        {"weights": lambda self, time: {"supervized": 0.1}},
        r"^Changed\.weights: unknown term 'supervized'; known: supervised; did you mean supervised\?$",
    ),
    "a mask without voxels": (
        {
            "losses": lambda self, batch, time: {
                **OwnModules.losses(self, batch, time),
                "empty": batch.images[:0].mean(),
            }
        },
        r"^term empty is nan in the first step, so the learning rate is not the cause: does it divide by the number of"
        r" voxels of an empty mask \(use count\.clamp\(min=1\)\)",
    ),
    "a weight that is no number": (
        {"weights": lambda self, time: {"supervised": float("inf")}},
        r"^the total loss is inf in the first step, though each of its terms is a number: correct the weights",
    ),
    "a term that comes late": (
        {
            "losses": lambda self, batch, time: {
                **OwnModules.losses(self, batch, time),
                ("early" if time.iteration < 2 else "late"): batch.images.mean(),
            }
        },
        r"^the loss terms of step 2 are supervised, late, those of the first step supervised, early: give the same",
    ),
    "networks that predict but are not there": (
        {"inference_networks": property(lambda self: ("boddy",))},
        r"^Changed: inference_networks: unknown network 'boddy'; known: body; did you mean body\?$",
    ),
    "no networks that predict": (
        {"inference_networks": property(lambda self: ())},
        r"^Changed: inference_networks names the networks that predict, such as \(\"network\",\); found \(\)$",
    ),
    "an initialisation that is computed": (
        {"networks": property(lambda self: {"network": "de" + "fualt"})},
        r"^Changed: networks\.network: unknown initialisation 'defualt'; known: default, .*; did you mean default\?$",
    ),
    "numpy's generator in a step": (
        {"after_step": lambda self, time: np.random.rand()},
        r"^Changed draws random numbers from numpy\.random, which a saved state does not contain, .*torch\.rand",
    ),
    "Python's generator in a late step": (
        {"after_step": lambda self, time: random.random() if time.iteration > 5 else None},
        r"^Changed draws random numbers from Python's random, which",
    ),
    "numpy's generator when the method is built": (
        {"output_channels": property(lambda self: self.context.classes + int(np.random.rand()))},
        r"^sup_only draws random numbers from numpy\.random, which",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_method_is_one_sentence(tmp_path, monkeypatch, mistake):
    functions, sentence = MISTAKES[mistake]
    monkeypatch.setattr("semiseg.learning.build.method_class", lambda name: type("Changed", (OwnModules,), functions))
    with pytest.raises(UserError, match=sentence):
        run(tmp_path, train_spec(iterations=22, validation=None))


class TwoSides(OwnModules):
    """A method with an adversary whose term has the name of another."""

    def __init__(self, context, **hyper):
        super().__init__(context, **hyper)
        self.critic = torch.nn.Conv3d(1, 1, 1)

    def adversaries(self):
        return {"critic": Adam(1e-4, (0.9, 0.99))}

    def adversary_losses(self, batch, time):
        return {"supervised": self.critic(batch.images).mean()}


def test_a_term_of_an_adversary_has_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("semiseg.learning.build.method_class", lambda name: TwoSides)
    with pytest.raises(UserError, match=r"^TwoSides: losses and adversary_losses both give supervised: rename one$"):
        run(tmp_path, train_spec(validation=None))
