"""Basak et al. beyond the golden cases: whose labels an item is masked with, when scores change, labels refined."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.facts import facts
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.learning.build import build_method
from semiseg.method import Batch, TrainingTime
from semiseg.methods.parts.acisis_scores import indicators
from semiseg.params.config import Network, Training

SHAPE = (2, 3, 4)
NOW = TrainingTime(iteration=3, iterations=8, epoch=0, epochs=2, ramp=1.0)


class Gives(nn.Module):
    """A network that gives these logits."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, image: Tensor) -> Tensor:
        return self.logits


def method(classes: int = 3, **hyper: object) -> Any:
    training = Training.model_construct(supervised="ce_dice_organs")
    ours: Any = build_method("acisis", hyper, Network(name="unet3d", filters=1), training, facts([9.0] * classes))
    ours.student, ours.teacher = (Gives(logits(rows, classes)) for rows in (4, 2))
    return ours


def logits(rows: int, classes: int = 3) -> Tensor:
    return torch.randn(rows, classes, *SHAPE, generator=torch.Generator().manual_seed(rows))


def batch() -> Batch:
    labels = torch.randint(3, (2, *SHAPE), generator=torch.Generator().manual_seed(9))
    return Batch(torch.zeros(2, 1, *SHAPE), labels, torch.zeros(2, 1, *SHAPE))


def test_an_item_is_masked_with_all_labels_of_the_batch_or_with_its_own() -> None:
    given, labels = logits(2), batch().labels
    p = given.softmax(1)[:, 1]
    own, count = labels == 1, (labels == 1).sum()
    everywhere, alone = (indicators(given, labels, per_item=own_labels)[1, 1] for own_labels in (False, True))
    torch.testing.assert_close(alone, p[own].sum() / count)
    torch.testing.assert_close(everywhere, (p[own].sum() + p[0][own[1]].sum() + p[1][own[0]].sum()) / count)


def test_scores_change_in_the_last_step_of_an_epoch() -> None:
    ours = method()
    ours.losses(batch(), NOW)
    assert ours.scores.score.tolist() == [0, 0, 0] and ours.scores.recorded == 1
    ours.losses(batch(), replace(NOW, last_in_epoch=True))
    assert ours.scores.score.max() == pytest.approx(0.01) and ours.scores.recorded == 0
    assert ours.rates().max() == 1 and ours.rates().min() < 1


def test_with_few_classes_all_but_one_count_in_the_ranking() -> None:
    assert method(classes=3).scores.top == 2
    assert method(classes=14).scores.top == 12


def test_the_labels_of_the_teacher_can_be_refined() -> None:
    ours = method()
    torch.manual_seed(0)
    plain = ours.losses(batch(), NOW)
    ours.context = replace(ours.context, refine=lambda labels, scores: (labels + 1) % 3)
    torch.manual_seed(0)
    refined = ours.losses(batch(), NOW)
    assert plain["supervised"] == refined["supervised"] and plain["pseudo"] != refined["pseudo"]


def test_a_ranking_without_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"^ACISIS\.top_m must be 1 or more classes; found 0$"):
        method(top_m=0)
