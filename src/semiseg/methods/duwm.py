"""DUWM: double-uncertainty weighted method (Wang et al., MICCAI 2020, arXiv 2010.09298), re-derived.

A mean teacher with dropout predicts several times. The entropy of its mean prediction is the segmentation uncertainty,
that of its mean feature map, read as a distribution over channels, is the feature uncertainty. Both weight the
difference of student and teacher voxel by voxel on labelled and unlabelled crops, and are minimised themselves.
No code is published, and of the paper only the abstract could be read. All equations and numbers are therefore ours
(unverified): a row of this method is an approximation, not a reproduction.
Ours: features are the input of the head, with a softmax over their channels; both uncertainties are divided by their
maximum, ln K and ln of the channels. The penalty is on the student's own uncertainty, because that of the teacher has
no gradient.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.losses import entropy
from semiseg.blocks.perturbations import noisy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.network import Backbone

OURS = "ours (unverified): no code is published"


def uncertainty(distribution: Tensor) -> Tensor:
    """Entropy over the logarithm of the number of channels, ``[b 1 z y x]``, of a distribution ``[b c z y x]``."""
    return entropy(distribution) / math.log(distribution.shape[1])


def weighted_difference(student: Tensor, teacher: Tensor, eta: float, penalty: str) -> Tensor:
    """Mean over voxels of exp(-U_t) S_c (a - b)^2 + eta U, of distributions a and b ``[b c z y x]``.

    U_t is the uncertainty of b. U is that of a, or U_t where the penalty is ``teacher``.
    """
    unsure = uncertainty(teacher)
    penalised = uncertainty(student) if penalty == "student" else unsure
    difference = (student - teacher).square().sum(1, keepdim=True)
    return ((-unsure).exp() * difference + eta * penalised).mean()


class DUWM(Method):
    """L = L_sup + w r(t) [L(p, q; U_s) + gamma L(a, b; U_f)], both by ``weighted_difference``.

    p and q are probabilities of student and teacher, a and b softmaxes of their features; q and b are means of T
    passes.
    """

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    inference_networks = ("student",)
    student: Backbone
    teacher: Backbone

    weight = Hyper(0.1, "weight w of both terms, times the protocol's ramp", f"{OURS}; that of yulequan/UA-MT")
    gamma = Hyper(1.0, "weight of the features against the segmentation", OURS)
    eta = Hyper(1.0, "weight of the uncertainties themselves", OURS)
    penalty = Hyper(
        "student", "whose uncertainty is minimised; the teacher's is a constant", OURS, ("student", "teacher")
    )
    rounds = Hyper(8, "stochastic passes T of the teacher", f"{OURS}; that of yulequan/UA-MT")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", f"{OURS}; that of yulequan/UA-MT")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.rounds < 1:
            raise UserError(f"DUWM.rounds must be 1 or more passes; found {self.rounds}")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss on the labelled rows, both consistencies on all rows."""
        images, count = batch.everything, len(batch.images)
        logits, features = outputs(self.student, images)
        with torch.no_grad():
            target, mean_features = self.teacher_means(images)
        return {
            "supervised": self.context.supervised(logits[:count], batch.labels),
            "segmentation": weighted_difference(logits.float().softmax(1), target, self.eta, self.penalty),
            "features": weighted_difference(features.float().softmax(1), mean_features, self.eta, self.penalty),
        }

    def teacher_means(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean probabilities and mean softmax of features of T passes with new noise and new dropout."""
        probabilities = features = torch.zeros((), device=images.device)
        for _ in range(self.rounds):  # running sums, because all feature maps of a step would take gigabytes
            logits, feature = outputs(self.teacher, noisy(images))
            probabilities = probabilities + logits.float().softmax(1)
            features = features + feature.float().softmax(1)
        return probabilities / self.rounds, features / self.rounds

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t), and gamma times it."""
        return {"segmentation": self.weight * time.ramp, "features": self.gamma * self.weight * time.ramp}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher; t is read before its increment."""
        ema.update(self.teacher, self.student, ema.warm_alpha(time.iteration, self.ema_decay))


def outputs(network: Backbone, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``[b k z y x]``, and the input ``[b c z y x]`` of the head."""
    feature = network.features(images)[-1]
    return network.head(feature), feature
