"""BaCon beyond its golden cases: when the contrast is active, what it receives, corner cases, options."""

from typing import Any

import pytest
import torch
from support.plain_network import plain_context
from torch import Tensor

from semiseg.method import Batch, TrainingTime
from semiseg.methods.bacon import BaCon
from semiseg.methods.parts import bacon_contrast

SIDES = (16, 16, 16)
EARLY = TrainingTime(0, 100, 0, 10, 0.0)
MIDDLE, LATE = TrainingTime(50, 100, 5, 10, 1.0), TrainingTime(51, 100, 5, 10, 1.0)


def build(slopes: tuple[float, ...] = (-30.0, 0.0, 30.0), offset: float = 0.0, **hyper: Any) -> BaCon:
    """Predicts class 0 for dark, 1 for grey and 2 for bright voxels, the more extreme the more confident."""
    torch.manual_seed(0)
    return BaCon(plain_context(slopes, [offset] * len(slopes)), **hyper)


def draw() -> Batch:
    """Labelled voxels of brightness -2, 2, 0 for the labels 0, 1, 2; unlabelled ones of -1 and 1."""
    labels = torch.randint(3, (2, *SIDES))
    images = torch.tensor([-2.0, 2.0, 0.0])[labels].unsqueeze(1)
    return Batch(images, labels, torch.randint(2, (2, 1, *SIDES)) * 2.0 - 1)


def test_the_memory_fills_from_the_first_step_and_the_contrast_begins_in_the_second_half() -> None:
    method, batch = build(), draw()
    early = method.losses(batch, EARLY)["contrast"]
    assert early == 0 and not early.requires_grad
    assert (method.centres.filled > 0).tolist() == [True, True, True]
    assert method.losses(batch, MIDDLE)["contrast"] == 0, "the first step after the middle is the first with contrast"
    late = method.losses(batch, LATE)["contrast"]
    assert late > 0 and late.requires_grad


def test_without_a_memory_the_contrast_is_zero_for_one_step() -> None:
    method, batch = build(), draw()
    assert method.losses(batch, LATE)["contrast"] == 0
    assert method.losses(batch, LATE)["contrast"] > 0


def test_sampled_voxels_carry_their_own_label_or_pseudo_label_and_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch, seen = build(samples=40), draw(), []
    points: list[Tensor] = []
    method.projection.register_forward_pre_hook(lambda module, given: points.append(given[0]))
    original = bacon_contrast.as_samples

    def spy(*given: Any) -> bacon_contrast.Samples:
        seen.append(original(*given))
        return seen[-1]

    monkeypatch.setattr(bacon_contrast, "as_samples", spy)
    method.losses(batch, LATE)
    (found,), (features,) = seen, points
    given, valid, brightness = found.classes[:120], found.valid, features[:, 0]
    assert valid.view(2, 3, 40).sum(2).tolist() == [[40, 40, 40], [40, 0, 40]]
    assert torch.equal(brightness[:120], torch.tensor([-2.0, 2.0, 0.0])[given])
    weak = slice(120, None)
    assert torch.equal(brightness[weak][valid[weak]], found.classes[weak][valid[weak]] - 1.0)
    confident = brightness.abs() > 0  # the grey ones have equal logits
    assert torch.equal(found.confident[valid], confident[valid])
    assert method.centres.filled.tolist() == [80, 40, 40]


def test_raw_logits_count_voxels_that_no_probability_counts() -> None:
    """All logits are 5, all probabilities 1/3."""
    batch = draw()
    truth = torch.bincount(batch.labels.flatten(), minlength=3)
    found = []
    for rule in ("probability", "logit"):
        method = build((0.0, 0.0, 0.0), offset=5.0, count_by=rule)
        method.losses(batch, EARLY)
        found.append(method.frequency)
    torch.testing.assert_close(found[0], 0.99 + 0.01 * truth)
    assert torch.allclose((found[1] - found[0]).sum(), torch.tensor(0.01 * batch.unlabelled.numel()))


def samples() -> tuple[bacon_contrast.Samples, Tensor]:
    torch.manual_seed(1)
    labels, vectors = torch.tensor([0, 1, 1, 2]), torch.randn(10, 4).requires_grad_()
    logits, weak = torch.randn(4, 5), 4 * torch.randn(6, 5)
    return bacon_contrast.as_samples(vectors, labels, logits, weak, 0.3, torch.ones(10, dtype=torch.bool)), torch.randn(
        5, 4
    )


def loss(found: bacon_contrast.Samples, centres: Tensor, known: list[bool] | None = None) -> Tensor:
    there = torch.tensor(known or [True] * 5)
    return bacon_contrast.contrast(found, centres, there, torch.full((5,), 0.1))


def test_samples_that_do_not_exist_change_nothing() -> None:
    found, centres = samples()
    padded = bacon_contrast.Samples(*(torch.cat([each, each[:3]]) for each in found))
    padded = padded._replace(valid=torch.arange(13) < 10)
    torch.testing.assert_close(loss(padded, centres), loss(found, centres))


def test_a_class_without_centre_adds_nothing_but_its_samples_stay_negatives() -> None:
    found, centres = samples()
    known = [True, False, True, True, True]
    gradient = torch.autograd.grad(loss(found, centres, known), found.vectors)[0]
    assert gradient.isfinite().all() and gradient[1].any()  # a labelled voxel of class 1
    moved = centres.index_fill(0, torch.tensor([1]), 9.0)
    torch.testing.assert_close(loss(found, moved, known), loss(found, centres, known))
    assert loss(found, centres, [False] * 5) == 0


def test_two_classes_without_any_negative_give_a_finite_zero() -> None:
    vectors, labels = torch.randn(3, 4).requires_grad_(), torch.tensor([0])
    weak = torch.tensor([[9.0, 0.0], [8.0, 0.0]])  # both classes are among the three likeliest
    found = bacon_contrast.as_samples(vectors, labels, weak[:1], weak, 0.9, torch.ones(3, dtype=torch.bool))
    value = bacon_contrast.contrast(found, torch.randn(2, 4), torch.ones(2, dtype=torch.bool), torch.full((2,), 0.1))
    assert value == 0
    value.backward()
    assert vectors.grad is not None and vectors.grad.isfinite().all()


def test_a_class_without_labelled_voxels_is_not_the_rarest() -> None:
    assert bacon_contrast.rarity(torch.tensor([100.0, 0.0, 20.0])).tolist() == pytest.approx([0.2, 1.0, 1.0])


def test_frequent_classes_are_dropped_more_and_more() -> None:
    weak, uniform = torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([0.5, 0.5])
    rule = bacon_contrast.SamplingRule(torch.tensor([0.1, 1.0]), 0.0, 0.9)
    assert bacon_contrast.sample(weak, rule, uniform)[1].tolist() == [True, True]
    assert bacon_contrast.sample(weak, rule._replace(elapsed=1.0), uniform)[1].tolist() == [False, True]


def test_the_balanced_head_predicts_through_the_averaged_network() -> None:
    method, batch = build(), draw()
    with torch.no_grad():
        method.network.head.bias += 1000 * torch.tensor([0.0, 1.0, 0.0])
        method.classifier.bias += torch.tensor([1e6, 0.0, 0.0])
    method.after_step(LATE)  # the bias of class 1 becomes 1 in the average: it wins where the slopes say nothing
    expected = torch.where(batch.images[:, 0] == 0, 1, torch.where(batch.images[:, 0] > 0, 2, 0))
    assert torch.equal(method.predict(batch.images, method.inference_networks).argmax(1), expected)
