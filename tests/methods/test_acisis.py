"""ACISIS beyond its golden cases: own labels alone, few classes, what the epoch's last step changes, refined labels."""

from dataclasses import replace

import pytest
import torch
from support.facts import facts
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks.losses import masked_cross_entropy
from semiseg.learning.build import build_method
from semiseg.method import Batch, TrainingTime
from semiseg.methods.acisis import ACISIS, indicators, sampled_confidence
from semiseg.params.config import Network, Training

SHAPE = (4, 6, 8)


class Says(nn.Module):
    """A network that always gives the same logits."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, image: Tensor) -> Tensor:
        return 1 * self.logits


def speech(seed: int, rows: int = 4) -> Tensor:
    return torch.randn(rows, 3, *SHAPE, generator=torch.Generator().manual_seed(seed))


def build(**hyper: object) -> ACISIS:
    training = Training.model_construct(supervised="ce_dice_organs")
    method = build_method("acisis", hyper, Network(name="unet3d", filters=1), training, facts([9000.0, 500.0, 100.0]))
    assert isinstance(method, ACISIS)
    method.student, method.teacher = Says(speech(0)), Says(speech(1, rows=2))
    method.uniform = lambda predicted: torch.full((1, *predicted.shape), 0.5)  # type: ignore[method-assign]
    return method


def draw() -> Batch:
    labels = torch.randint(3, (2, *SHAPE), generator=torch.Generator().manual_seed(9))
    images = torch.zeros(4, 1, *SHAPE)
    return Batch(images[:2], labels, images[2:])


def at(iteration: int, *, last: bool) -> TrainingTime:
    return TrainingTime(iteration, 100, iteration // 2, 50, 1.0, last)


def test_per_item_compares_a_crop_with_its_own_labels() -> None:
    logits, labels = speech(0)[:2], draw().labels
    probabilities, own = logits.softmax(1), []
    for k in range(3):
        chosen = probabilities.movedim(1, -1)[labels == k]  # [n k]
        entropy = chosen[:, k] * chosen.log().sum(1)
        own.append(torch.stack([entropy, chosen[:, k], chosen.max(1).values - chosen[:, k]]).mean(1))
    torch.testing.assert_close(indicators(logits, labels, per_item=True), torch.stack(own, 1))
    assert not torch.allclose(indicators(logits, labels), torch.stack(own, 1))
    alone = [indicators(logits[:1], labels[:1], per_item=each) for each in (True, False)]
    assert torch.equal(*alone), "one crop has no labels but its own"


def test_scores_move_in_the_last_step_of_an_epoch_whose_mask_uses_them() -> None:
    method, batch = build(score_momentum=0.0), draw()
    method.losses(batch, at(0, last=False))
    assert torch.equal(method.rates(), torch.ones(3)) and method.recorded == 1
    found = method.losses(batch, at(1, last=True))["pseudo"]
    assert method.score.max() == 1 and method.recorded == 0 and not method.pooled.any()
    student, teacher = speech(0)[2:], speech(1, rows=2)
    mask = sampled_confidence(student, method.rates(), torch.full((1, 2, *SHAPE), 0.5), 1.5)
    torch.testing.assert_close(found, masked_cross_entropy(student, teacher.argmax(1), mask))


def test_refined_labels_are_targets_and_nothing_else() -> None:
    def refine(labels: Tensor, scores: Tensor) -> Tensor:
        assert not scores.requires_grad and torch.equal(labels, scores.argmax(1))
        return (labels + 1) % 3

    plain, refined, batch = build(), build(), draw()
    refined.context = replace(refined.context, refine=refine)
    before, after = (each.losses(batch, at(1, last=True)) for each in (plain, refined))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"pseudo"}
    assert torch.equal(plain.score, refined.score)


def test_with_few_classes_the_ranks_of_all_but_one_are_kept() -> None:
    """As top_m = 2 with three classes; top_m = 1 keeps fewer."""
    scores = []
    for hyper in ({}, {"top_m": 2}, {"top_m": 1}):
        method = build(score_momentum=0.0, **hyper)
        method.record(speech(0)[:2], draw().labels, last=True)
        scores.append(method.score)
    assert torch.equal(scores[0], scores[1]) and not torch.equal(scores[0], scores[2])


def test_a_number_of_ranks_below_1_is_refused() -> None:
    with pytest.raises(UserError, match=r"ACISIS.top_m must be 1 or more classes; found 0"):
        build(top_m=0)
