"""Precision of a step, on the CPU: half precision as published is for GPUs alone, so it is put into the state here."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import needs, prepared_cases
from support.facts import facts
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.learning.batches import Sampler
from semiseg.learning.build import build_method, choose_runtime
from semiseg.learning.loop import Trainer, start
from semiseg.learning.precision import Precision, require_bfloat16
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import State
from semiseg.method import Batch
from semiseg.params.config import Inference, Network, Optimiser, Training
from semiseg.stages.train import train

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
    method = build_method("dan", {}, Network(name="vnet", filters=2), training, facts([1.0, 1.0]))
    inference = Inference(window=SIDES, stride=SIDES)
    made = start(method, inference, RULE, torch.device("cpu"), Precision(torch.float16, scaled=True))
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
    assert state.scaler.calls == ["scale", state.optimiser, "scale", *state.adversary_optimisers.values(), "update"]


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


# --- precision: fast -------------------------------------------------------------------------------------------------

CPU, FAST = torch.device("cpu"), Precision(torch.bfloat16, fast=True)


@pytest.mark.parametrize(
    ("precision", "amp", "device", "expected"),
    [
        ("published", False, "cuda", Precision()),
        ("published", True, "cuda", Precision(torch.float16, scaled=True)),
        ("published", True, "cpu", Precision()),
        ("fast", False, "cpu", FAST),
        ("fast", True, "cuda", FAST),
    ],
)
def test_precision_of_a_protocol(precision: str, amp: bool, device: str, expected: Precision) -> None:
    assert Precision.of(Training.model_construct(precision=precision, amp=amp), torch.device(device)) == expected


def test_a_gpu_without_bfloat16_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulation in software does not count."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    sentence = "^precision fast computes in bfloat16, which Tesla T4 does not have: set training.precision of the proto"
    with pytest.raises(UserError, match=sentence):
        require_bfloat16(Training.model_construct(precision="fast"), torch.device("cuda"))


@pytest.mark.parametrize("flags", ["avx2 avx512f avx512_bf16", None])
def test_a_cpu_without_amx_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str | None
) -> None:
    processor = tmp_path / "cpuinfo"
    monkeypatch.setattr("semiseg.learning.precision.PROCESSOR", processor)
    if flags is not None:
        processor.write_text(f"flags\t\t: fpu {flags} sse\n")
    sentence = "^precision fast computes in bfloat16, which a processor without AMX computes slowly or not reproducibly"
    fast = Training.model_construct(precision="fast")
    with pytest.raises(UserError, match=f"{sentence}: set training.precision of the protocol to published, or train"):
        require_bfloat16(fast, CPU)
    require_bfloat16(Training.model_construct(precision="published"), CPU)
    processor.write_text("flags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n")
    require_bfloat16(fast, CPU)


def test_a_fast_step_computes_in_bfloat16_with_float32_weights_channels_last() -> None:
    needs.amx()
    torch.manual_seed(0)
    training = Training.model_construct(supervised="half_ce_dice_all")
    method = build_method("mt", {}, Network(name="vnet", filters=2), training, facts([1.0, 1.0]))
    state = start(method, Inference(window=SIDES, stride=SIDES), RULE, CPU, FAST)
    outputs: list[Tensor] = []
    state.method.get_submodule("student").register_forward_hook(lambda module, given, output: outputs.append(output))
    step(state, draw())
    assert {output.dtype for output in outputs} == {torch.bfloat16}
    for weight in method.parameters():
        assert weight.dtype == torch.float32 and weight.isfinite().all()
        assert weight.ndim < 5 or weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(values.dtype == torch.float32 for _, _, values in state.history._pending)


def test_a_pass_without_gradient_does_not_take_it_from_the_pass_after_it() -> None:
    """torch keeps cast weights within a context, without the way back to the weights if the first pass had none."""
    network, image = nn.Conv3d(1, 1, 3), torch.randn(1, 1, 4, 4, 4)
    with FAST.autocast(CPU):
        with torch.no_grad():
            network(image)
        network(image).float().sum().backward()
    assert network.weight.grad is not None and network.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("method", "rule", "steps"), [("bacon", "sgd", 7), ("dan", "adam", 3)])
def test_a_fast_run_is_near_the_published_one_and_resumes_exactly(
    tmp_path: Path, method: str, rule: str, steps: int
) -> None:
    """BaCon has weights whose gradients come late, DAN an adversary with an optimiser of its own."""
    needs.amx()
    data, runtime = prepared_cases.build(tmp_path), choose_runtime("cpu", 1, 0)
    optimiser = {"rule": rule, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001}
    spec = prepared_cases.train_spec(method, iterations=steps, validation=None, precision="fast", optimiser=optimiser)

    def run(spec: dict[str, Any], state: str, name: str) -> prepared_cases.Outputs:
        out = prepared_cases.outputs(tmp_path / name)
        train(spec, *data, tmp_path / state, out, runtime)
        return out

    whole = run(spec, "whole", "whole")
    real = Sampler.__getitem__

    def until_killed(self: Sampler, number: int) -> Batch:
        if number == steps - 1:
            sys.exit("killed")
        return real(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sampler, "__getitem__", until_killed)
        with pytest.raises(SystemExit):
            run(spec, "killed", "killed")
    again = run(spec, "killed", "killed")
    assert again.weights.read_bytes() == whole.weights.read_bytes()
    assert again.history.read_bytes() == whole.history.read_bytes()
    published = {**spec, "training": {**spec["training"], "precision": "published"}}
    totals = [pd.read_csv(out.history)["total"].to_numpy() for out in (whole, run(published, "state", "published"))]
    assert (totals[0] != totals[1]).all()
    np.testing.assert_allclose(totals[0], totals[1], rtol=0.05)
