"""Several checkpoints of one training: which weights they are, after kills too, and what a prediction loads."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from support import prepared_cases
from support.prepared_cases import train_spec

from semiseg.base.errors import UserError
from semiseg.learning import checkpoints, weights
from semiseg.learning.build import choose_runtime
from semiseg.learning.loop import Trainer
from semiseg.learning.validation import Validator
from semiseg.stages.predict import _predictor
from semiseg.stages.train import train

RULE = {"every": 1, "per": "iteration", "region": "centre_crop", "absent": "zero"}
STEPS = 4
FURTHER = ["best_test", "best_validation"]


def spec_of(*further: str, **changes) -> dict:
    """A training of the two networks of cps; ``further`` as the graph gives it."""
    spec = train_spec("cps", STEPS, **{"validation": None, **changes})
    return {**spec, "checkpoints": list(further)} if further else spec


def run(data: tuple[Path, Path], spec: dict, out: Path) -> Path:
    index, split = data
    train(spec, index, split, out / "state", prepared_cases.outputs(out), choose_runtime("cpu", 1, 0))
    return out / "weights.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, Path]:
    return prepared_cases.build(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="module")
def watched(data, tmp_path_factory) -> tuple[Path, dict[str, list]]:
    """A training that keeps its last weights and the best ones on either list, and what was scored in it.

    By checkpoint, of every scoring: the score, the step, the networks and all weights as they were.
    """
    seen, score = {name: [] for name in FURTHER}, Validator.score

    def noted(self, method, networks):
        found = score(self, method, networks)
        name = FURTHER[self.cases[0].path.stem.startswith("val")]
        tensors = {key: tensor.clone() for key, tensor in method.state_dict().items()}
        seen[name].append((found, 1 + len(seen[name]) // 2, list(networks), tensors))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validator, "score", noted)
        return run(data, spec_of(*FURTHER, selection=RULE), tmp_path_factory.mktemp("run")), seen


@pytest.fixture
def trained(watched) -> Path:
    return watched[0]


def test_scoring_changes_no_bit_of_the_training(data, trained, tmp_path):
    plain = run(data, spec_of(), tmp_path)
    own, note = checkpoints.load(trained, None)
    expected, known = weights.load(plain)
    assert note == known and own.keys() == expected.keys()
    assert all(torch.equal(own[name], expected[name]) for name in expected)
    losses = [pd.read_csv(path.parent / "history.csv").drop(columns="val_dice") for path in (plain, trained)]
    pd.testing.assert_frame_equal(*losses)


def test_each_list_chooses_its_own_best_of_every_network_and_step(watched):
    path, seen = watched
    for checkpoint, scored in seen.items():
        assert len(scored) == 2 * STEPS
        best, step, networks, state = max(scored, key=lambda one: (one[0], -one[1]))
        tensors, note = checkpoints.load(path, checkpoint)
        assert note == {"dice": best, "iteration": step, "networks": networks, "patch": [16, 16, 32]}
        assert tensors and all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())
    assert [one[0] for one in seen["best_test"]] != [one[0] for one in seen["best_validation"]]


def test_a_kill_at_any_scoring_changes_no_byte(data, trained, tmp_path, monkeypatch):
    score, calls = Trainer._score, []

    def killed(self, checkpoint, validator):
        calls.append(checkpoint)
        if len(calls) in (2, 5):  # between the lists, and at one of them
            raise SystemExit
        score(self, checkpoint, validator)

    monkeypatch.setattr(Trainer, "_score", killed)
    spec = spec_of(*FURTHER, selection=RULE)
    for _ in range(2):
        with pytest.raises(SystemExit):
            run(data, spec, tmp_path)
    again = run(data, spec, tmp_path)
    assert len(calls) > 2 * STEPS, "steps were done again"
    assert again.read_bytes() == trained.read_bytes()


def test_a_protocol_that_validates_keeps_its_last_weights_too(data, tmp_path):
    rule = {**RULE, "patience": 2}
    still = {"lr": 1e-12, "momentum": 0.0, "weight_decay": 0.0}
    path = run(data, {**train_spec(validation=rule, optimiser=still), "checkpoints": ["last"]}, tmp_path)
    (own, first), (last, end) = (checkpoints.load(path, name) for name in (None, "last"))
    assert (first["iteration"], end["iteration"]) == (1, 3), "patience ended the training after the third step"
    assert "dice" not in end and own.keys() == last.keys()


def test_a_prediction_has_the_weights_of_its_checkpoint(data, trained):
    index, split = (json.loads(path.read_text(encoding="utf-8")) for path in data)
    spec = {name: value for name, value in spec_of().items() if name not in ("seed", "training")}
    for name in (None, *FURTHER):
        chosen = {} if name is None else {"checkpoint": name}
        found = _predictor({**spec, **chosen}, trained, index, split, torch.device("cpu"))
        tensors, note = checkpoints.load(trained, name)
        assert list(found.networks) == note["networks"]
        assert all(torch.equal(found.method.state_dict()[key], tensor) for key, tensor in tensors.items())
    with pytest.raises(UserError, match=r"weights\.safetensors does not hold the checkpoint last: train the run again"):
        _predictor({**spec, "checkpoint": "last"}, trained, index, split, torch.device("cpu"))
