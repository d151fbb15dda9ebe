"""Adaptive thresholding (Adsh; Guo and Li, ICML 2022) within Cross Pseudo Supervision.

Each class has a threshold of its own, so that the same share of its pseudo labels is kept as a fixed threshold keeps
of the commonest class.
Follows xmed-lab/DHC: code/train_adsh.py, also where it departs from the paper. A threshold belongs to a channel: the
logits of one network are multiplied with the channels in which the other network exceeds its thresholds (``mask:
voxel`` drops voxels instead, as in the paper). Each network keeps its scores of T unlabelled crops, where T is a
quarter of the unlabelled cases; the step that finds the store full sets the thresholds, of all its scores, and empties
it. With an odd T the last map is never written and stays 0, so that it counts for the background. The thresholds are 0
at first.
Departures from the code: an index beyond the last score means the last one, where the code fails. Ours: of a step with
more crops than the store has room for, the first ones are kept.
"""

from typing import Any

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import cross_entropy, masked_cross_entropy
from semiseg.method import Context, Hyper, TrainingTime
from semiseg.methods.parts.co_training import CoTraining, View

CODE = "xmed-lab/DHC: code/train_adsh.py"
CASES_PER_MAP = 4
EPSILON = 1e-8


@torch.no_grad()
def thresholds(store: Tensor, major: float) -> Tensor:
    """Threshold of each class ``[k]`` from score maps ``[t k z y x]``; major: that of the commonest class.

    rho is the share of the commonest class's voxels with a score above ``major``. The threshold of class k is the score
    that rho n_k scores of this class exceed, where n_k is its number of voxels. Both are rounded to float32 as in the
    code, which moves the index by one now and then.
    """
    classes = store.shape[1]
    counts = class_counts(store.argmax(1), classes).double().sum(0).float()
    common = counts.argmax()
    above = (store[:, common] > major).sum().float()
    ranks = (counts * ((above + EPSILON) / (counts[common] + EPSILON))).long().tolist()
    scores = (store[:, label].flatten() for label in range(classes))
    return torch.stack(
        [each.kthvalue(max(len(each) - rank, 1)).values for each, rank in zip(scores, ranks, strict=True)]
    )


def passes(logits: Tensor, limits: Tensor) -> Tensor:
    """Channels whose probability exceeds the class's threshold, bool ``[b k z y x]``; limits: ``[k]``."""
    return logits.float().softmax(1) > limits.view(-1, 1, 1, 1)


class Adsh(CoTraining):
    """L = L_sup(A) + L_sup(B) + w r(t) [CE(M_B o_A, argmax o_B) + CE(M_A o_B, argmax o_A)], M = 1[p > theta]."""

    least_unlabelled = 4
    large_state = {"store_a": "device", "store_b": "device", "filled": "cpu"}  # read in each step: no wait for a GPU
    store_a: Tensor
    store_b: Tensor
    thresholds_a: Tensor
    thresholds_b: Tensor
    filled: Tensor

    major = Hyper(
        0.9, "threshold of the commonest class", f"{CODE} get_thresholds; microsoft/Semi-supervised-learning: 0.95"
    )
    mask = Hyper(
        "channel",
        "what a threshold removes: channels of the logits, or voxels by the threshold of their pseudo label",
        f"{CODE} cal_sampling_mask; voxel is the paper's",
        ("channel", "voxel"),
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        maps = context.unlabelled_cases // CASES_PER_MAP
        if not maps:
            raise UserError(
                f"Adsh keeps the scores of a quarter of the unlabelled cases, so that it needs {CASES_PER_MAP} or more;"
                f" found {context.unlabelled_cases}: choose another split or another method"
            )
        for network in ("a", "b"):
            self.register_buffer(f"store_{network}", torch.zeros(maps, context.classes, *context.patch))
            self.register_buffer(f"thresholds_{network}", torch.zeros(context.classes))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def observe(self, a: View, b: View, labels: Tensor, time: TrainingTime) -> None:
        """Keep the scores of the unlabelled rows; or, where the store is full, set the thresholds and empty it."""
        filled, maps = int(self.filled), len(self.store_a)
        if filled >= maps - 1:
            self.thresholds_a, self.thresholds_b = (thresholds(s, self.major) for s in (self.store_a, self.store_b))
            self.filled = torch.zeros_like(self.filled)
            return
        for view, store in ((a, self.store_a), (b, self.store_b)):
            rows = view.scores[view.labelled :][: maps - filled].float().softmax(1)
            store[filled : filled + len(rows)] = rows
        self.filled = self.filled + len(rows)

    def cross(self, own: View, other: View) -> Tensor:
        """CE of a network with the pseudo labels and the thresholds of the other one."""
        kept = passes(other.scores, self.thresholds_b if other.network == "b" else self.thresholds_a)
        if self.mask == "channel":
            return cross_entropy(own.logits * kept, other.target)
        return masked_cross_entropy(own.logits, other.target, kept.gather(1, other.predicted.unsqueeze(1)).squeeze(1))
