"""Mixed precision on the CPU: training enables it on a GPU alone, so the scaler is put into the state here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from semiseg.learning.build import build_method
from semiseg.learning.loop import Trainer, start
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import State
from semiseg.method import Batch
from semiseg.params.config import Inference, Network, Optimiser, Training

SIDES, SCALE = (16, 16, 16), 2.0**10
RULE = Optimiser(lr=1e-2, momentum=0.9, weight_decay=0.0)


class RecordingScaler(torch.amp.GradScaler):
    """torch's scaler, which also notes its calls and the optimisers that it steps."""

    def __init__(self) -> None:
        super().__init__("cpu", init_scale=SCALE)
        self.calls: list[Any] = []

    def scale(self, outputs: Any) -> Any:
        self.calls.append("scale")
        return super().scale(outputs)

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> float | None:
        self.calls.append(optimizer)
        return super().step(optimizer, *args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        self.calls.append("update")
        super().update(new_scale)


@pytest.fixture
def state() -> Iterator[State]:
    """``dan``, because it has an adversary with an optimiser of its own."""
    torch.manual_seed(0)
    training = Training.model_construct(supervised="half_ce_dice_all")
    method = build_method("dan", {}, Network(name="vnet", filters=2), training, [1.0, 1.0])
    inference = Inference(window=SIDES, stride=SIDES)
    made = start(method, inference, RULE, torch.device("cpu"), amp=True)
    assert not made.scaler.is_enabled(), "mixed precision is for GPUs"
    made.scaler = RecordingScaler()
    yield made


def draw() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, *SIDES, generator=generator)
    return Batch(images[:2], torch.randint(2, (2, *SIDES), generator=generator), images[2:])


def step(state: State, batch: Batch) -> None:
    trainer = Trainer.__new__(Trainer)
    training = Training.model_validate(
        {
            "patch": SIDES,
            "batch": {"labelled": 2, "unlabelled": 2},
            "epoch": "labelled",
            "iterations": 100,
            "supervised": "half_ce_dice_all",
            "optimiser": RULE.model_dump(),
            "schedule": {"rule": "constant"},
            "augmentation": {},
            "ramp": {},
        }
    )
    trainer.state, trainer.schedule = state, TrainingSchedule(training, 10)
    trainer.step(batch)


def test_each_optimiser_steps_on_a_scaled_loss_and_the_scale_is_updated_once(state: State) -> None:
    step(state, draw())
    assert isinstance(state.scaler, RecordingScaler)
    assert state.scaler.calls == ["scale", state.optimiser, "scale", state.adversary_optimiser, "update"]


def test_forward_passes_run_in_half_precision_and_losses_in_single(state: State) -> None:
    outputs: list[torch.dtype] = []
    network = state.method.get_submodule("network")
    network.register_forward_hook(lambda module, given, output: outputs.append(output.dtype))
    step(state, draw())
    assert set(outputs) == {torch.float16}
    assert all(values.dtype == torch.float32 and values.isfinite().all() for _, _, values in state.history._pending)


def test_the_scale_does_not_change_the_size_of_a_step(state: State) -> None:
    """A gradient that is not unscaled would make the step 1024 times as large."""
    weight = state.method.get_parameter("network.head.weight")
    before = weight.detach().clone()
    step(state, draw())
    assert weight.grad is not None
    torch.testing.assert_close(weight.detach(), before - RULE.lr * weight.grad)
    assert 0 < weight.grad.abs().max() < 10


def test_a_step_with_infinite_gradients_is_left_out_and_the_scale_is_halved(state: State) -> None:
    network = state.method.get_submodule("network")
    before = [weight.detach().clone() for weight in network.parameters()]
    head = network.get_submodule("head")
    assert isinstance(head, nn.Conv3d)
    head.weight.register_hook(lambda gradient: torch.full_like(gradient, torch.inf))
    step(state, draw())
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    assert state.scaler.get_scale() == SCALE / 2


def test_the_scale_is_saved_and_resumed(state: State, tmp_path: Path) -> None:
    step(state, draw())
    state.scaler.update(64.0)
    state.save(tmp_path / "state.safetensors", "fingerprint")
    state.scaler = RecordingScaler()
    state.resume(tmp_path / "state.safetensors", "fingerprint")
    state.scaler.scale(torch.ones(1))  # the scaler creates its scale when it is first used
    assert state.scaler.get_scale() == 64.0
