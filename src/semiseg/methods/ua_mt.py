"""Uncertainty-aware Mean Teacher (Yu et al., MICCAI 2019, arXiv 1907.07034).

Follows yulequan/UA-MT: code/train_LA_meanteacher_certainty_unlabel.py, the script that its README runs: the consistency
is on the unlabelled rows only. Its constants 2 and ln 2 are the number of classes of the LA task. The ports of
HiLab-git/SSL4MIS and xmed-lab/DHC keep these constants for any number of classes, and so does the default;
``normalise_by_classes`` replaces them by K and ln K.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from semiseg.blocks import ema
from semiseg.blocks.consistency import threshold
from semiseg.blocks.losses import SUPERVISED_FORMS, entropy, supervised_form
from semiseg.blocks.perturbations import noisy
from semiseg.method import Batch, Hyper, Method, Terms, TrainingTime

COPIES = 2  # of the unlabelled rows in one stochastic pass: [u0 u1 u0 u1]


def mean_probabilities(passes: Iterable[Tensor], rounds: int) -> Tensor:
    """Mean softmax ``[u k z y x]`` of rounds x COPIES predictions; a pass has logits ``[COPIES*u k z y x]``."""
    total = sum((logits.float().softmax(1) for logits in passes), start=torch.zeros(()))
    return torch.stack(total.chunk(COPIES)).sum(0) / (COPIES * rounds)


def certain(mean: Tensor, limit: float) -> Tensor:
    """Mask M = [U < H] as float32 ``[u 1 z y x]``; U is the entropy of the mean probabilities."""
    return (entropy(mean) < limit).float()


def consistency(student_logits: Tensor, teacher_logits: Tensor, kept: Tensor, classes: int = 2) -> Tensor:
    """S(M (p - q)^2) / (classes S(M) + 1e-16); the numerator is summed over all classes; 0 if the mask is empty."""
    difference = student_logits.float().softmax(1) - teacher_logits.float().softmax(1)
    return (kept * difference.square()).sum() / (classes * kept.sum() + 1e-16)


class UAMT(Method):
    """L = L_sup + w r(t) L_con over the voxels where the teacher is certain."""

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    inference_networks = ("student",)
    student: nn.Module
    teacher: nn.Module

    weight = Hyper(0.1, "weight w of the consistency, times the protocol's ramp", "yulequan/UA-MT: --consistency")
    rounds = Hyper(4, "stochastic teacher passes, each of two copies: T = 8", "yulequan/UA-MT: T = 8")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", "yulequan/UA-MT: --ema_decay")
    ema_clock = Hyper(
        "iteration",
        "what t counts in min(1 - 1/(t+1), ema_decay)",
        "yulequan/UA-MT; xmed-lab/DHC: code/train_uamt.py passes the epoch",
        ("iteration", "epoch"),
    )
    threshold_clock = Hyper(
        "iteration",
        "what t counts in the threshold H(t)",
        "yulequan/UA-MT; xmed-lab/DHC: code/train_uamt.py counts epochs",
        ("iteration", "epoch"),
    )
    supervised = Hyper(
        "protocol",
        "the supervised loss: the protocol's, or one by name",
        "yulequan/UA-MT; xmed-lab/DHC: code/train_uamt.py departs from its siblings with half_ce_dice_organs",
        SUPERVISED_FORMS,
    )
    normalise_by_classes = Hyper(
        False, "K and ln K in place of the constants 2 and ln 2", "yulequan/UA-MT, xmed-lab/DHC: constants"
    )

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss on the labelled rows, masked consistency on the unlabelled ones."""
        labelled, unlabelled = self.student(batch.everything).tensor_split([len(batch.images)])
        classes = self.context.classes if self.normalise_by_classes else 2
        by_epoch = self.threshold_clock == "epoch"
        now, length = (time.epoch, time.epochs) if by_epoch else (time.iteration, time.iterations)
        limit = threshold(now, length, classes)
        with torch.no_grad():
            target = self.teacher(noisy(batch.unlabelled))
            kept = certain(mean_probabilities(self._passes(batch.unlabelled), self.rounds), limit)
        own = supervised_form(self.supervised, self.context.supervised)
        return {
            "supervised": own(labelled, batch.labels),
            "consistency": consistency(unlabelled, target, kept, classes),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t)."""
        return {"consistency": self.weight * time.ramp}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher; t is read before its increment."""
        ema.update(self.teacher, self.student, ema.warm_alpha(getattr(time, self.ema_clock), self.ema_decay))

    def _passes(self, unlabelled: Tensor) -> Iterator[Tensor]:
        """Teacher logits of copies with new noise; dropout is on, because the teacher stays in training mode."""
        copies = torch.cat([unlabelled] * COPIES)
        return (self.teacher(noisy(copies)) for _ in range(self.rounds))
