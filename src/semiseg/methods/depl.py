"""Debiased Pseudo-Labeling (Wang et al., CVPR 2022) within Cross Pseudo Supervision.

A prior q follows the mean prediction on unlabelled crops. Pseudo labels come from logits less tau ln q, so that classes
which the network prefers anyway are held back, and are used where they are certain.
Follows xmed-lab/DHC: code/train_depl.py, also where it departs from the paper: each network gives labels to the other
one, q is a prior of each voxel of the crop (``prior: class`` is the paper's), and q moves after the labels of a step
are made. Labels of labelled crops take part. The cross term divides by all voxels, certain or not. The adaptive margin
is computed there and not used; ``margin: true`` adds tau ln q of the other network to the unlabelled logits of the
cross term, with the q of the end of the step (ours, unverified).
Departure from the code: a prior below the smallest float counts as this float, because ln 0 would give labels without
meaning.
"""

from typing import Any

import torch
from torch import Tensor

from semiseg.blocks.losses import confident_labels, masked_cross_entropy
from semiseg.method import Context, Hyper, TrainingTime
from semiseg.methods.parts.co_training import CoTraining, View

CODE = "xmed-lab/DHC: code/train_depl.py"
AVERAGED = {"voxel": (0,), "class": (0, 2, 3, 4)}  # axes of the mean prediction


def updated_prior(prior: Tensor, logits: Tensor, momentum: float, kind: str = "voxel") -> Tensor:
    """q <- m q + (1 - m) mean softmax, of logits ``[u k z y x]`` over rows, or over rows and space.

    prior: ``[1 k z y x]`` of kind voxel, ``[1 k 1 1 1]`` of kind class.
    """
    return momentum * prior + (1 - momentum) * logits.float().softmax(1).mean(AVERAGED[kind], keepdim=True)


def log_prior(prior: Tensor) -> Tensor:
    """ln q, finite everywhere."""
    return prior.clamp(min=torch.finfo(prior.dtype).tiny).log()


class DePL(CoTraining):
    """L = L_sup(A) + L_sup(B) + w r(t) [S(m_B CE(A, t_B)) + S(m_A CE(B, t_A))] / voxels; t = argmax(o - tau ln q)."""

    prior_a: Tensor
    prior_b: Tensor

    weight = Hyper(
        0.1,
        "weight w of the cross terms, times the protocol's ramp",
        f"xmed-lab/DHC: README, -w; that of the rows is not recorded ({CODE}: 1)",
    )
    tau = Hyper(1.0, "strength of the debiasing", f"{CODE} causal_inference")
    threshold = Hyper(0.9, "least debiased probability of a pseudo label", f"{CODE} training loop")
    momentum = Hyper(0.99, "fraction m of the prior that a step keeps", f"{CODE} update_qhat")
    prior = Hyper("voxel", "what has a prior of its own", f"{CODE} update_qhat; class is the paper's", tuple(AVERAGED))
    margin = Hyper(False, "whether the cross term adds tau ln q of the other network", f"{CODE}: not used")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        sides = context.patch if self.prior == "voxel" else (1, 1, 1)
        even = torch.full((1, context.classes, *sides), 1 / context.classes)
        self.register_buffer("prior_a", even.clone())
        self.register_buffer("prior_b", even.clone())

    def scores(self, network: str, logits: Tensor, *further: Tensor) -> Tensor:
        """Debiased logits: logits less tau ln q of the network."""
        return logits.detach().float() - self.tau * log_prior(self.prior_of(network))

    def observe(self, a: View, b: View, labels: Tensor, time: TrainingTime) -> None:
        """Update both priors by the unlabelled rows, as the networks give them; the pseudo labels are made already."""
        self.prior_a, self.prior_b = (
            updated_prior(self.prior_of(view.network), view.logits[view.labelled :].detach(), self.momentum, self.prior)
            for view in (a, b)
        )

    def cross(self, own: View, other: View) -> Tensor:
        """CE of a network over the voxels whose pseudo label is certain, divided by all voxels."""
        logits = own.logits
        if self.margin:
            shift = self.tau * log_prior(self.prior_of(other.network))
            logits = torch.cat([logits[: own.labelled], logits[own.labelled :] + shift])
        return masked_cross_entropy(logits, other.target, self.certain(other.scores))

    def certain(self, scores: Tensor) -> Tensor:
        """Whether a pseudo label of these debiased logits ``[b k z y x]`` is used, bool ``[b z y x]``."""
        return confident_labels(scores, self.threshold)[1]

    def prior_of(self, network: str) -> Tensor:
        """The prior of a network."""
        return self.prior_a if network == "a" else self.prior_b
