"""DCR has no official code: numbers by hand, and whole steps of the training loop by numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import digamma, gammaln
from steps.stage import Run, make, training
from support.numpy_steps import Array, Pointwise, Weights, assert_equal, descended, forward, gradient, weights_of

from semiseg.base.errors import UserError
from semiseg.method import Batch
from semiseg.methods.dcr import Opinion, evidential_cross_entropy, misleading_evidence

SHAPE, CLASSES = (2, 3, 4), 2
SETTING: dict[str, Any] = {
    **{"step": 900, "steps_per_epoch": 300, "iterations": 6000},
    **{"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01},
}
HYPER = {"anneal": 8, "weight": 2.0, "pseudo_weight": 0.5, "opinion_weight": 3.0}
RAMP = 2.0 * np.exp(-5 * (1 - 6 / 40) ** 2)  # 900 steps are 6 units of 150
FACTORS = {"evidence": 1.0, "misleading": 3 / 8, "dice": 1.0, "pseudo": 0.5 * RAMP, "opinion": 3.0 * RAMP}
ACTIVATIONS = {"softplus": lambda z: np.log1p(np.exp(z)), "exp": np.exp}


def terms(now: Weights, fixed: Weights, batch: Batch, view: torch.Tensor, activation: str) -> dict[str, float]:
    """Losses of a step; fixed: weights of the weak view, which has no gradient."""

    def parameters(weights: Weights, images: torch.Tensor) -> Array:
        found: Array = ACTIVATIONS[activation](forward(weights, images)[1]) + 1
        return found

    known, truth = parameters(now, batch.images), batch.labels.numpy().ravel()
    strength, own = known.sum(1), known[np.arange(len(truth)), truth]
    foreground = known[:, 1] / strength
    overlap = 2 * (foreground * truth).sum() + 1e-5
    others = known.copy()
    others[np.arange(len(truth)), truth] = 1
    total = others.sum(1)
    divergence = gammaln(total) - gammaln(CLASSES) - gammaln(others).sum(1)
    divergence += ((others - 1) * (digamma(others) - digamma(total)[:, None])).sum(1)
    weak, strong = parameters(fixed, batch.unlabelled), parameters(now, view)
    sums = weak.sum(1), strong.sum(1)
    pseudo = np.log(strong[np.arange(len(weak)), weak.argmax(1)] / sums[1])
    beliefs = (strong - 1) / sums[1][:, None] - (weak - 1) / sums[0][:, None]
    return {
        "evidence": float((digamma(strength) - digamma(own)).mean()),
        "misleading": float(divergence.mean()),
        "dice": float(1 - overlap / ((foreground**2).sum() + truth.sum() + 1e-5)),
        "pseudo": float(-((1 - CLASSES / sums[0]) * pseudo).mean()),
        "opinion": float((beliefs**2).mean() + ((CLASSES / sums[1] - CLASSES / sums[0]) ** 2).mean()),
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_two_whole_steps_by_numpy(activation: str) -> None:
    torch.manual_seed(0)
    method = make("dcr", CLASSES, Pointwise, "half_ce_dice_fg", evidence=activation, **HYPER)
    stage = Run(method, training(SETTING, {"every": 150, "length": 40}, {"rule": "constant"}), SETTING, {})
    network = method.get_submodule("network")
    own = weights_of(network)
    speeds = [np.zeros_like(each) for each in own]
    for number in (0, 1):
        images, noise, scale = torch.randn(4, 1, *SHAPE), torch.randn(2, 1, *SHAPE), torch.rand(2, 1, 1, 1, 1)
        batch = Batch(images[:2], torch.randint(CLASSES, (2, *SHAPE)), images[2:])
        draws = {"torch.rand": [scale], "torch.randn_like": [noise]}
        found = stage.steps([batch], [draws], {name: name for name in FACTORS})[number]
        view = images[2:] * (0.9 + 0.2 * scale) + (0.1 * noise).clamp(-0.2, 0.2)

        def at(weights: Weights, batch: Batch = batch, view: torch.Tensor = view, fixed: Weights = own) -> float:
            return sum(FACTORS[name] * term for name, term in terms(weights, fixed, batch, view, activation).items())

        assert found == pytest.approx({**terms(own, own, batch, view, activation), "total": at(own)}, rel=1e-5)
        own = descended(own, gradient(at, own), speeds, SETTING)
        assert_equal(weights_of(network), own)


def test_without_evidence_everything_is_uncertain() -> None:
    view, labels = Opinion(torch.ones(1, 4, 1, 1, 2)), torch.tensor([0, 3]).view(1, 1, 1, 2)
    assert view.uncertainty.unique() == 1 and view.probability.unique() == 0.25 and view.belief.unique() == 0
    assert misleading_evidence(view, labels) == pytest.approx(0, abs=1e-6)


def test_with_much_evidence_the_loss_is_the_cross_entropy() -> None:
    view = Opinion(torch.tensor([2e4, 7e4, 1e4]).view(1, 3, 1, 1, 1))
    assert evidential_cross_entropy(view, torch.tensor([1]).view(1, 1, 1, 1)) == pytest.approx(-np.log(0.7), rel=1e-4)
    assert float(view.belief.sum() + view.uncertainty) == pytest.approx(1)


def test_windows_have_the_expected_probabilities() -> None:
    method = make("dcr", CLASSES, Pointwise, "half_ce_dice_fg", evidence="relu")
    images = torch.randn(2, 1, *SHAPE)
    alpha = np.maximum(forward(weights_of(method.get_submodule("network")), images)[1], 0) + 1
    with torch.no_grad():
        found = method.predict(images, ("network",)).movedim(1, -1).reshape(-1, CLASSES).numpy()
    np.testing.assert_allclose(found, alpha / alpha.sum(1, keepdims=True), rtol=1e-5)


def test_no_epochs_of_annealing_are_refused() -> None:
    with pytest.raises(UserError, match=r"DCR\.anneal must be 1 or more epochs; found 0"):
        make("dcr", CLASSES, Pointwise, "half_ce_dice_fg", anneal=0)
