"""Optimisers: of the networks, and of the modules that have one of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import torch
from support.facts import facts
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.learning.build import Runtime
from semiseg.learning.loop import Trainer, start
from semiseg.learning.optimisers import of_networks
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import State
from semiseg.method import SGD, Adam, Batch, Context, Method, Terms, TrainingTime
from semiseg.params.config import Inference, Optimiser, Ramp, Schedule, Training

CPU, STEPS, LR = torch.device("cpu"), 4, 0.5
FACTORS = [(1 - step / STEPS) ** 0.9 for step in range(STEPS)]
NOTHING = Batch(*torch.zeros(3, 0))
TRAINING = Training.model_construct(
    iterations=STEPS,
    epochs=None,
    extra_epochs=0,
    optimiser=Optimiser(lr=LR, momentum=0.0, weight_decay=0.0),
    schedule=Schedule(rule="poly"),
    ramp=Ramp(),
)


class Number(nn.Module):
    """A module of one weight, which starts at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(1))


class ThreeNumbers(Method):
    """A network and two modules with optimisers of their own; the loss of each is its weight times 2."""

    inference_networks: ClassVar = ("network",)
    followers: ClassVar = ("mu",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.network, self.mu, self.critic = Number(), Number(), Number()

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        return {"network": 2 * self.network.value.sum()}

    def adversaries(self) -> Mapping[str, Adam | SGD]:
        return {"mu": SGD(0.1, weight_decay=0.01), "critic": Adam(0.2, (0.9, 0.99), eps=1.0)}

    def adversary_rates(self, time: TrainingTime, scheduled: float) -> Mapping[str, float]:
        return dict.fromkeys(self.followers, scheduled)

    def adversary_losses(self, batch: Batch, time: TrainingTime) -> Terms:
        return {name: 2 * cast(Tensor, self.get_submodule(name).value).sum() for name in ("mu", "critic")}


def trainer() -> Trainer:
    given = facts([1.0, 1.0])
    voxels, sides = torch.tensor(given.labelled_voxels), given.patch
    method = ThreeNumbers(Context(2, cast(Any, None), torch.mul, voxels, 1, sides, sides))
    state = start(method, Inference(window=sides, stride=sides), TRAINING.optimiser, CPU)
    nowhere = cast(Any, None)
    return Trainer("", state, nowhere, TrainingSchedule(TRAINING, STEPS), None, Runtime(CPU, 0, 1e9), Path(), "")


def values(state: State) -> list[float]:
    return [float(each.detach()) for each in state.method.parameters()]


def test_an_adversary_follows_the_schedule_or_keeps_its_rate_and_both_are_saved(tmp_path: Path) -> None:
    """SGD with weight decay that follows poly, and Adam at a constant rate, against the formulas."""
    run = trainer()
    mu, critic, mean, square = 1.0, 1.0, 0.0, 0.0
    for step, factor in enumerate(FACTORS, 1):
        run.step(NOTHING)
        mu -= 0.1 * factor * (2 + 0.01 * mu)
        mean, square = 0.9 * mean + 0.1 * 2, 0.99 * square + 0.01 * 4
        critic -= 0.2 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.99**step)) ** 0.5 + 1)
        if step == 2:  # go on in another process's place
            run.state.save(tmp_path / "state.safetensors", "mark")
            run = trainer()
            run.state.resume(tmp_path / "state.safetensors", "mark")
    assert values(run.state) == pytest.approx([1 - 2 * LR * sum(FACTORS), mu, critic], rel=1e-6)


@pytest.mark.parametrize("first", [False, True])
def test_adversaries_step_after_the_networks_or_before_them(first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both losses are the product of the three weights, so each step sees whether the other has been taken."""

    def product(method: ThreeNumbers, *given: object) -> Tensor:
        return method.network.value.sum() * method.mu.value.sum() * method.critic.value.sum()

    monkeypatch.setattr(ThreeNumbers, "adversaries_first", first)
    monkeypatch.setattr(ThreeNumbers, "losses", lambda *given: {"network": product(*given)})
    monkeypatch.setattr(ThreeNumbers, "adversary_losses", lambda *given: {"adversaries": product(*given)})
    run = trainer()
    run.step(NOTHING)
    network, mu, critic = values(run.state)
    slope = 1 if first else 1 - LR  # of the adversaries' loss
    assert mu == pytest.approx(1 - 0.1 * (slope + 0.01))
    assert network == pytest.approx(1 - LR * (mu * critic if first else 1))
    assert run.state.history.columns == ["iteration", "lr", "total", "loss_network", "loss_adversaries", "val_dice"]


def test_a_rate_of_an_adversary_that_does_not_exist_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreeNumbers, "followers", ("nu",))
    with pytest.raises(UserError, match=r"^ThreeNumbers\.adversary_rates: unknown adversary 'nu'; known: mu, critic$"):
        trainer().step(NOTHING)


@pytest.mark.parametrize("fused", [False, True])
def test_adamw_shrinks_the_weights_beside_the_step(fused: bool) -> None:
    """w <- w - lr decay w - lr m / (sqrt(v) + eps), and Adam's penalty passes through its means instead."""
    after = {}
    for rule in ("adam", "adamw"):
        weight = nn.Parameter(torch.full((1,), 2.0))
        given = Optimiser.model_validate(
            {"rule": rule, "lr": 0.1, "momentum": 0.8, "beta2": 0.9, "eps": 0.5, "weight_decay": 0.3}
        )
        optimiser = of_networks(given, [weight], fused)
        weight.grad = torch.ones(1)
        optimiser.step()
        after[rule] = float(weight.detach())
    assert after["adamw"] == pytest.approx(2 - 0.1 * 0.3 * 2 - 0.1 * 1 / (1 + 0.5), rel=1e-6)
    assert after["adam"] == pytest.approx(2 - 0.1 * 1.6 / (1.6 + 0.5), rel=1e-6)


def test_defaults_of_later_keys_are_in_no_record() -> None:
    """Results that were made before these keys existed keep their parameters."""
    plain = Optimiser(rule="adam", lr=0.1, momentum=0.9, weight_decay=0.0)
    assert set(plain.model_dump(mode="json")) == {"rule", "lr", "momentum", "weight_decay", "nesterov"}
    changed = plain.model_copy(update={"eps": 0.1, "beta2": 0.99})
    assert Optimiser.model_validate(changed.model_dump(mode="json")) == changed
