"""DUWM has no official code: whole steps of the training loop by numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from steps.stage import Run, make, training
from support.numpy_steps import (
    Array,
    Pointwise,
    Weights,
    assert_equal,
    descended,
    forward,
    gradient,
    softmax,
    weights_of,
)

from semiseg.base.errors import UserError
from semiseg.method import Batch

SHAPE, CLASSES, PASSES = (2, 3, 4), 2, 3
SETTING: dict[str, Any] = {"step": 900, "iterations": 6000, "learning_rate": 0.3, "momentum": 0.9, "weight_decay": 0.01}
WEIGHT, GAMMA, ETA = 2.0, 0.4, 0.7
RAMP = np.exp(-5 * (1 - 6 / 40) ** 2)  # 900 steps are 6 units of 150


def uncertainty(distribution: Array) -> Array:
    found: Array = -(distribution * np.log(distribution + 1e-6)).sum(1) / np.log(distribution.shape[1])
    return found


def weighted(student: Array, teacher: Array, penalty: str) -> float:
    unsure = uncertainty(teacher)
    penalised = uncertainty(student) if penalty == "student" else unsure
    return float((np.exp(-unsure) * ((student - teacher) ** 2).sum(1) + ETA * penalised).mean())


def terms(
    student: Weights, teacher: Weights, batch: Batch, noise: list[torch.Tensor], penalty: str
) -> dict[str, float]:
    features, logits = forward(student, batch.everything)
    probabilities, truth = softmax(logits), batch.labels.numpy().ravel()
    known = probabilities[: len(truth)]
    overlap = 2 * (known[:, 1] * truth).sum() + 1e-5
    dice = 1 - overlap / ((known[:, 1] ** 2).sum() + truth.sum() + 1e-5)
    passes = [forward(teacher, batch.everything + (0.1 * each).clamp(-0.2, 0.2)) for each in noise]
    target = np.mean([softmax(logits) for _, logits in passes], 0)
    mean_features = np.mean([softmax(each) for each, _ in passes], 0)
    return {
        "supervised": 0.5 * (-np.log(known[np.arange(len(truth)), truth]).mean() + dice),
        "segmentation": weighted(probabilities, target, penalty),
        "features": weighted(softmax(features), mean_features, penalty),
    }


@pytest.mark.parametrize("penalty", ["student", "teacher"])
def test_two_whole_steps_by_numpy(penalty: str) -> None:
    torch.manual_seed(0)
    hyper = {"weight": WEIGHT, "gamma": GAMMA, "eta": ETA, "rounds": PASSES, "penalty": penalty}
    method = make("duwm", CLASSES, Pointwise, "half_ce_dice_fg", **hyper)
    student, teacher = (method.get_submodule(name) for name in ("student", "teacher"))
    stage = Run(method, training(SETTING, {"every": 150, "length": 40}, {"rule": "constant"}), SETTING, {})
    own, average = weights_of(student), weights_of(teacher)
    speeds = [np.zeros_like(each) for each in own]
    factors = {"supervised": 1.0, "segmentation": WEIGHT * RAMP, "features": GAMMA * WEIGHT * RAMP}
    for number in (0, 1):
        images, noise = torch.randn(4, 1, *SHAPE), list(torch.randn(PASSES, 4, 1, *SHAPE))
        batch = Batch(images[:2], torch.randint(CLASSES, (2, *SHAPE)), images[2:])
        found = stage.steps([batch], [{"torch.randn_like": noise}], {name: name for name in factors})[number]

        def at(weights: Weights, batch: Batch = batch, noise: Any = noise, fixed: Weights = average) -> float:
            return sum(factors[name] * term for name, term in terms(weights, fixed, batch, noise, penalty).items())

        by_hand = terms(own, average, batch, noise, penalty)
        assert found == pytest.approx({**by_hand, "total": at(own)}, rel=1e-5)
        own = descended(own, gradient(at, own), speeds, SETTING)
        average = [0.99 * old + 0.01 * new for old, new in zip(average, own, strict=True)]
        assert_equal(weights_of(student), own)
        assert_equal(weights_of(teacher), average)


def test_no_pass_is_refused() -> None:
    with pytest.raises(UserError, match=r"DUWM\.rounds must be 1 or more passes; found 0"):
        make("duwm", CLASSES, Pointwise, "half_ce_dice_fg", rounds=0)
