"""Class-wise sampling with a mean teacher (Basak, Ghosal and Sarkar, MICCAI 2022, arXiv 2209.00123).

The teacher's labels train the student on unlabelled crops. Voxels that the student predicts as a class that it learns
badly are sampled more often, and each counts by a power of the student's confidence. How well a class is learnt is a
fuzzy rank of three indicators on labelled crops.
Follows xmed-lab/DHC: code/train_acisis.py, because no code of the authors could be found. The teacher starts from its
own random weights and stays in training mode; the student predicts. The factor of the moving average counts epochs, so
that the teacher is the student during the first one. The scores change in the last step of an epoch, whose mask has the
new ones. An indicator of one item is masked with the labels of all items of the batch, which seems to be an error;
``per_item: true`` takes the item's own. Ours: with fewer than 13 classes all but one count in the ranking.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.class_weights import sampling_mask, sampling_rate
from semiseg.blocks.losses import masked_cross_entropy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.acisis_scores import ClassScores

CODE = "xmed-lab/DHC: code/train_acisis.py"


@torch.no_grad()
def sampled_confidence(logits: Tensor, rate: Tensor, power: float, uniform: Tensor) -> Tensor:
    """Weight of each voxel, ``[u z y x]``: its largest probability to a power, where it is sampled; else 0.

    logits: ``[u k z y x]``; rate: sampling rates ``[k]``; uniform: as in ``class_weights.sampling_mask``.
    """
    probability, predicted = logits.float().softmax(1).max(1)
    return sampling_mask(predicted, rate, uniform) * probability**power


class ACISIS(Method):
    """L = L_sup + w r(t) mean over voxels of [m CE(student, argmax teacher)]; m: sampled, confidence^power."""

    networks = {"student": "kaiming"}
    teachers = {"teacher": "student"}
    inference_networks = ("student",)
    student: nn.Module
    teacher: nn.Module

    weight = Hyper(
        0.1,
        "weight w of the pseudo labels, times the protocol's ramp",
        f"xmed-lab/DHC: README, -w; that of the rows is not recorded ({CODE}: 1)",
    )
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", f"{CODE} --ema_decay")
    top_m = Hyper(12, "classes that count in the ranking of an indicator", f"{CODE} ConfidenceArray")
    rank_penalty = Hyper(0.632, "rank of the others", f"{CODE} P_FR")
    score_momentum = Hyper(0.99, "fraction of the class scores that an epoch keeps", f"{CODE} ConfidenceArray")
    rate_power = Hyper(2.5, "exponent of the sampling rates", f"{CODE} lambda")
    confidence_power = Hyper(1.5, "exponent of the student's confidence", f"{CODE} beta")
    per_item = Hyper(False, "whether an item is masked with its own labels alone", f"{CODE}: no")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.top_m < 1:
            raise UserError(f"ACISIS.top_m must be 1 or more classes; found {self.top_m}")
        top = min(self.top_m, context.classes - 1)
        self.scores = ClassScores(context.classes, top, self.rank_penalty, self.score_momentum)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss on the labelled rows, the teacher's labels on the unlabelled ones."""
        labelled, unlabelled = self.student(batch.everything).tensor_split([len(batch.images)])
        with torch.no_grad():
            given = self.teacher(batch.unlabelled)
        target = self.context.refine(given.argmax(1), given)
        self.scores.record(labelled, batch.labels, per_item=self.per_item)
        if time.last_in_epoch:
            self.scores.update()
        kept = sampled_confidence(unlabelled, self.rates(), self.confidence_power, self.uniform(target))
        return {
            "supervised": self.context.supervised(labelled, batch.labels),
            "pseudo": masked_cross_entropy(unlabelled, target, kept),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t)."""
        return {"pseudo": self.weight * time.ramp}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher, by the number of finished epochs."""
        ema.update(self.teacher, self.student, ema.warm_alpha(time.epoch, self.ema_decay))

    def rates(self) -> Tensor:
        """Sampling rate of each class, ``[k]``: ((1 - score) / max(1 - score))^power."""
        return sampling_rate(self.scores.score, self.rate_power)

    def uniform(self, target: Tensor) -> Tensor:
        """A random number in [0, 1) for each voxel, ``[1 u z y x]``."""
        return torch.rand(1, *target.shape, device=target.device)
