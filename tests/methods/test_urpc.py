"""URPC beyond its golden and step cases: equal scales, and probabilities of 0."""

import pytest
import torch
from support.facts import facts

from semiseg.blocks.losses import half_ce_dice_organs
from semiseg.graph.requirements import Pairing, why_not
from semiseg.learning.build import build_method
from semiseg.method import Batch, TrainingTime
from semiseg.methods.urpc import consistency, divergences
from semiseg.params.config import BatchSize, Inference, Network, Training

NOW = TrainingTime(5, 10, 0, 1, 1.0)


def test_scales_that_agree_cost_nothing() -> None:
    logits = torch.randn(2, 3, 2, 3, 4)
    mean, distances = divergences([logits] * 4)
    torch.testing.assert_close(mean, logits.softmax(1))
    assert all(each.abs().max() < 1e-6 for each in distances)
    assert all(each.abs() < 1e-6 for each in consistency([logits] * 4))


def test_probabilities_of_zero_give_numbers_and_gradients_that_are_numbers() -> None:
    """Where the softmax is exactly 0, the official logarithm is infinite."""
    scales = [torch.tensor([300.0, -300.0]).roll(number).view(1, 2, 1, 1, 1).requires_grad_() for number in range(4)]
    terms = consistency(scales)
    torch.stack(terms).sum().backward()
    assert all(term.isfinite() for term in terms)
    assert all(each.grad is not None and each.grad.isfinite().all() for each in scales)


@pytest.mark.parametrize("count", [2, 3])
def test_a_scale_that_diverges_counts_less_where_it_does(count: int) -> None:
    scales = [torch.zeros(1, 2, 1, 1, 2) for _ in range(count)]
    scales[0][0, 0, 0, 0, 1] = 5.0
    mean, distances = divergences(scales)
    by_hand = (mean * (mean / scales[0].softmax(1)).log()).sum(1, keepdim=True)
    torch.testing.assert_close(distances[0], by_hand)
    assert distances[0][..., 1] > 0.1 and distances[0][..., 0] < 1e-6


def test_a_network_with_one_output_is_refused_when_a_table_is_planned() -> None:
    sides = (16, 16, 32)
    training = Training.model_construct(patch=sides, batch=BatchSize(labelled=2, unlabelled=2))
    inference = Inference(window=sides, stride=sides)
    reasons = [
        why_not(Pairing("urpc", {}, 2, Network(name=name, filters=2), training, inference))
        for name in ("vnet", "unet3d_ds")
    ]
    assert reasons == ["urpc compares outputs at several scales, but vnet has one output", None]


def test_every_scale_is_supervised_by_the_named_loss() -> None:
    torch.manual_seed(0)
    training = Training.model_construct(supervised="ce_dice_organs")
    network, hyper = Network(name="unet3d_ds", filters=2), {"supervised": "half_ce_dice_organs"}
    method = build_method("urpc", hyper, network, training, facts([9.0, 5.0, 1.0])).eval()
    images, labels = torch.randn(4, 1, 16, 16, 32), torch.randint(3, (2, 16, 16, 32))
    terms = method.losses(Batch(images[:2], labels, images[2:]), NOW)
    scales = method.network.outputs(images)
    expected = torch.stack([half_ce_dice_organs(logits[:2], labels) for logits in scales]).mean()
    assert len(scales) == 4
    torch.testing.assert_close(terms["supervised"], expected)
