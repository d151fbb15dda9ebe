"""Gradients of several steps that are summed before the optimiser moves (``training.accumulate``)."""

from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import torch
from support import prepared_cases
from support.facts import facts
from support.prepared_cases import train_spec
from torch import nn

from semiseg.base.errors import UserError
from semiseg.learning import weights
from semiseg.learning.batches import Sampler
from semiseg.learning.build import Runtime, choose_runtime
from semiseg.learning.loop import Trainer, start
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import STATE
from semiseg.method import Batch, Context, Method, Terms, TrainingTime
from semiseg.params.config import Inference, Optimiser, Ramp, Schedule, Training
from semiseg.stages.train import train

NOTHING = Batch(*torch.zeros(3, 0))


class Slope(Method):
    """One weight, whose gradient in step t is t + 1."""

    inference_networks: ClassVar = ("network",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        return {"slope": (time.iteration + 1) * self.network.weight.sum()}


def test_gradients_are_summed_and_the_count_restarts_in_every_epoch() -> None:
    """Epochs of five steps and sums of two: the gradient of the fifth step is lost."""
    training = Training.model_construct(
        **{"iterations": 20, "epochs": None, "extra_epochs": 0, "accumulate": 2, "ramp": Ramp()},
        optimiser=Optimiser(lr=1.0, momentum=0.0, weight_decay=0.0),
        schedule=Schedule(rule="constant"),
    )
    given, nowhere = facts([1.0, 1.0]), cast(Any, None)
    method = Slope(Context(2, nowhere, torch.mul, torch.ones(1, 2), 1, given.patch, given.patch))
    state = start(method, Inference(window=given.patch, stride=given.patch), training.optimiser, torch.device("cpu"))
    schedule = TrainingSchedule(training, 5)
    trainer = Trainer("", state, nowhere, schedule, {}, Runtime(state.device, 0, 1e9), Path(), "")
    moved = []
    for _ in range(10):
        trainer.step(NOTHING)
        moved.append(-int(method.network.weight.item()))
    assert moved == [0, 1 + 2, 3, 3 + 3 + 4, 10, 10, 10 + 6 + 7, 23, 23 + 8 + 9, 40]


def run(folder: Path, data: tuple[Path, Path], out: str, **training: Any) -> bytes:
    spec = train_spec(iterations=9, epoch=9, order="endless", validation=None, **training)
    target = folder / out
    train(spec, *data, folder / f"state_{out}", prepared_cases.outputs(target), choose_runtime("cpu", 1, 0.0))
    return (target / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepared_cases.build(tmp_path_factory.mktemp("accumulation"))


def test_a_run_is_saved_between_sums_alone_and_continues_bit_for_bit(
    tmp_path: Path, data: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies in the middle of the second sum, whose gradients are in no file."""
    expected, whole = run(tmp_path, data, "whole", accumulate=3), Sampler.__getitem__

    def until_fourth(sampler: Sampler, step: int) -> Batch:
        if step == 5:
            raise SystemExit("killed")
        return whole(sampler, step)

    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "__getitem__", until_fourth)
        with pytest.raises(SystemExit):
            run(tmp_path, data, "killed", accumulate=3)
    assert weights.load(tmp_path / "state_killed" / STATE)[1]["iteration"] == 3
    assert run(tmp_path, data, "killed", accumulate=3) == expected
    assert run(tmp_path, data, "each") != expected


def test_a_sum_longer_than_an_epoch_is_refused(tmp_path: Path, data: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"accumulate: 10 is more than the 9 steps of an epoch.*take fewer, or longer"):
        run(tmp_path, data, "never", accumulate=10)


def test_records_of_earlier_runs_do_not_hold_the_keys() -> None:
    optimiser = Optimiser(lr=1.0, momentum=0.0, weight_decay=0.0)
    rest = {"patch": (1, 1, 1), "batch": {"labelled": 1, "unlabelled": 1}, "supervised": "half_ce_dice_fg"}
    plain = {**rest, "iterations": 1, "epoch": 1, "optimiser": optimiser, "ramp": {}, "augmentation": {}}
    found = Training.model_validate({**plain, "schedule": {"rule": "poly"}}).model_dump()
    assert "accumulate" not in found and "length" not in found["schedule"]
    with pytest.raises(ValueError, match="length belongs to rule poly: remove it from rule constant"):
        Schedule(rule="constant", length=3)


def test_a_schedule_may_be_longer_than_the_training() -> None:
    training = Training.model_construct(
        **{"iterations": 6, "epochs": None, "extra_epochs": 0},
        optimiser=Optimiser(lr=1.0, momentum=0.0, weight_decay=0.0),
        schedule=Schedule(rule="poly", power=1, length=8),
    )
    rates = [TrainingSchedule(training, 3).learning_rate(step) for step in range(6)]
    assert rates == pytest.approx([1 - step / 8 for step in range(6)])
