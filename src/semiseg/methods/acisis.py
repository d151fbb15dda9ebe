"""Class-wise sampling by fuzzy class scores (Basak et al., MICCAI 2022, arXiv 2209.00123) with a mean teacher.

Three indicators show on labelled crops how well the student performs in each class. A fuzzy rule fuses them to one
score. The pseudo-label loss samples voxels of classes with a low score more often, and weights each voxel by a power of
the student's confidence.
Follows xmed-lab/DHC: code/train_acisis.py, a re-implementation by the authors of DHC, because the authors' own code
could not be found. As there, each crop of a step is compared with the labels of ALL its labelled crops, also with those
of other crops; ``per_item: true`` compares it with its own labels alone. The entropy indicator has no minus sign and
multiplies the probability of one class with the logarithms of all classes. Scores move once an epoch, by 1 percent, so
that classes are sampled nearly alike in the first epochs. The teacher starts from weights of its own and stays in
training mode; the student predicts.
Departures from the code: one map of random numbers serves all classes (equal in distribution). Ours (unverified): with
K classes, K at most 12, the ranks of K - 1 classes are kept, because the code needs more than 12.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.class_counts import ClassSums, class_counts
from semiseg.blocks.class_weights import sampling_mask, sampling_rate
from semiseg.blocks.losses import masked_cross_entropy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime

CODE = "xmed-lab/DHC: code/train_acisis.py"
EPSILON = 1e-12


@torch.no_grad()
def indicators(logits: Tensor, labels: Tensor, per_item: bool = False) -> Tensor:
    """Entropy, confidence and variance of each class, ``[3 k]``, of logits ``[b k z y x]`` and labels ``[b z y x]``.

    They are the sums of p_c S(ln p), of p_c and of max p - p_c over the voxels of class c, divided by the number of
    these voxels in all crops; p are the probabilities and S is the sum over all classes. A class without a voxel has 0.
    per_item: the voxels of a crop are those of its own labels, not those of the labels of each crop of the step.
    """
    classes, flat = logits.shape[1], labels.flatten(1)
    probabilities = logits.float().softmax(1).flatten(2)
    logarithms, largest = (probabilities + EPSILON).log().sum(1), probabilities.amax(1)
    sums = torch.zeros(classes, 3, device=logits.device)
    for shift in range(1 if per_item else len(labels)):
        truth = flat.roll(shift, 0)
        own = probabilities.gather(1, truth.unsqueeze(1)).squeeze(1)
        maps = torch.stack([own * logarithms, own, largest - own], 1)
        sums += ClassSums.apply(maps, truth, classes).sum(0)  # type: ignore[no-untyped-call]
    return sums.T / (class_counts(labels, classes).sum(0) + EPSILON)


def fuzzy_ranks(rows: Tensor, top: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Ranks 1 - exp(-exp(-2 s)) of indicators s ``[3 k]``, float64, and the indicators that count.

    In each row the ``top`` smallest ranks and those equal to the last of them are kept. The others become ``penalty``,
    and their indicators 0.
    """
    ranks = 1 - (-(-2 * rows.double()).exp()).exp()
    kept = ranks <= ranks.sort(1).values[:, top - 1 : top]
    return torch.where(kept, ranks, penalty), torch.where(kept, rows, 0)


def complement(rows: Tensor) -> Tensor:
    """1 - the mean of the three rows ``[3 k]`` of indicators that count, ``[k]``."""
    return 1 - rows.mean(0)


def sampled_confidence(logits: Tensor, rates: Tensor, uniform: Tensor, power: float) -> Tensor:
    """(max p)^power of the voxels that are sampled at the rate of their predicted class, 0 elsewhere, ``[b z y x]``.

    logits: ``[b k z y x]``; rates: ``[k]``; uniform: random numbers as for ``sampling_mask``.
    """
    confidence, predicted = logits.float().softmax(1).max(1)
    return sampling_mask(predicted, rates, uniform) * confidence**power


class ACISIS(Method):
    """L = L_sup + w r(t) S(m CE(student, argmax teacher)) / voxels, m the sampled confidence; S over unlabelled voxels.

    The score of class c moves towards (sum of its ranks) (1 - mean of its indicators), divided by the largest one. The
    rate at which voxels are sampled is ((1 - score) / max(1 - score))^rate_power.
    """

    networks = {"student": "kaiming"}
    teachers = {"teacher": "student"}
    inference_networks = ("student",)
    student: nn.Module
    teacher: nn.Module
    score: Tensor
    pooled: Tensor
    recorded: Tensor

    weight = Hyper(
        0.1,
        "weight w of the pseudo-label loss, times the protocol's ramp",
        f"xmed-lab/DHC: README, -w; that of the rows is not recorded ({CODE}: 1)",
    )
    top_m = Hyper(12, "classes of each indicator whose rank is kept, at most K - 1", f"{CODE} fuzzy_rank")
    rank_penalty = Hyper(0.632, "rank of the other classes", f"{CODE} fuzzy_rank")
    score_momentum = Hyper(0.99, "fraction of the class score that an epoch keeps", f"{CODE} ConfidenceArray")
    rate_power = Hyper(2.5, "exponent of the sampling rates", f"{CODE} cal_sampling_rate")
    confidence_power = Hyper(1.5, "exponent of the confidence", f"{CODE} cal_sampling_mask")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", f"{CODE} --ema_decay")
    per_item = Hyper(False, "whether a crop is compared with its own labels alone", f"{CODE} record_data: all labels")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.top_m < 1:
            raise UserError(f"ACISIS.top_m must be 1 or more classes; found {self.top_m}")
        self.register_buffer("score", torch.zeros(context.classes))
        self.register_buffer("pooled", torch.zeros(3, context.classes))
        self.register_buffer("recorded", torch.zeros(()))

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss on the labelled rows, sampled pseudo labels of the teacher on the unlabelled ones."""
        labelled, unlabelled = self.student(batch.everything).tensor_split([len(batch.images)])
        with torch.no_grad():
            scores = self.teacher(batch.unlabelled)
        target = self.context.refine(scores.argmax(1), scores)
        self.record(labelled.detach(), batch.labels, time.last_in_epoch)
        mask = sampled_confidence(unlabelled.detach(), self.rates(), self.uniform(target), self.confidence_power)
        return {
            "supervised": self.context.supervised(labelled, batch.labels),
            "pseudo": masked_cross_entropy(unlabelled, target, mask),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t)."""
        return {"pseudo": self.weight * time.ramp}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher, by the number of the epoch: all through epoch 0 they are equal."""
        ema.update(self.teacher, self.student, ema.warm_alpha(time.epoch, self.ema_decay))

    def record(self, logits: Tensor, labels: Tensor, last: bool) -> None:
        """Pool the indicators of labelled crops; the last step of an epoch moves the scores by their mean."""
        self.pooled = self.pooled + indicators(logits, labels, self.per_item)
        self.recorded = self.recorded + 1
        if not last:
            return
        rows = (self.pooled / self.recorded).softmax(1)
        ranks, counting = fuzzy_ranks(rows, min(self.top_m, self.context.classes - 1), self.rank_penalty)
        new = ranks.sum(0) * complement(counting)
        self.score = self.score_momentum * self.score + (1 - self.score_momentum) * (new / new.max()).float()
        self.pooled, self.recorded = torch.zeros_like(self.pooled), torch.zeros_like(self.recorded)

    def rates(self) -> Tensor:
        """Sampling rates ``[k]``, 1 for the class with the lowest score."""
        return sampling_rate(self.score, self.rate_power)

    def uniform(self, predicted: Tensor) -> Tensor:
        """A random number in [0, 1) for each voxel, ``[1 b z y x]``."""
        return torch.rand(1, *predicted.shape, device=predicted.device)
