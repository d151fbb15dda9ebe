"""Losses between the predictions of two networks, or of a student and its teacher."""

import math

from torch import Tensor

from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.ramps import sigmoid_rampup


def cross_supervision(a: Tensor, b: Tensor) -> Tensor:
    """CE(a, argmax b) + CE(b, argmax a) of logits ``[b k z y x]``. The targets (argmax) carry no gradient."""
    return cross_entropy(a, b.argmax(1)) + cross_entropy(b, a.argmax(1))


def consistency(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean over ALL elements, classes included, of (softmax(student) - softmax(teacher))^2; logits ``[u k z y x]``."""
    difference = student_logits.float().softmax(1) - teacher_logits.float().softmax(1)
    return difference.square().mean()


def threshold(time: float, length: float, classes: int = 2) -> float:
    """Threshold of the entropy in nats below which a voxel counts as certain: (0.75 + 0.25 r(t, T)) ln classes.

    r is the sigmoid ramp-up, t ``time``, and T ``length``.
    """
    return (0.75 + 0.25 * sigmoid_rampup(time, length)) * math.log(classes)
