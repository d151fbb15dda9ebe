"""Debiased Self-Training (Chen et al., NeurIPS 2022) within Cross Pseudo Supervision.

Each network has one encoder and three decoders. The main decoder predicts, the pseudo decoder parts the making of
pseudo labels from the learning of them, and the worst decoder looks for the labels by which learning would go worst:
it agrees with the main decoder on labelled crops and differs from it on unlabelled ones. The encoder is trained against
it by gradient reversal.
Follows xmed-lab/DHC: code/train_dst.py, code/models/vnet_dst.py, also where it departs from the paper: the pseudo
decoder of one network makes the labels for the MAIN decoder of the other one, so that nothing trains pseudo decoders;
only their batch statistics move. Their labels are seldom certain. ``roles: original`` gives the paper's roles (their
form with two networks is ours, unverified): the main decoder makes labels for the pseudo decoder of the other network.
Labelled crops take part with predicted labels. The cross term divides by all voxels, certain or not.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.gradient_reversal import reversed_gradient, warm_coefficient
from semiseg.blocks.losses import cross_entropy, masked_cross_entropy
from semiseg.method import Context, Hyper, Terms, TrainingTime
from semiseg.methods.parts.co_training import CoTraining, View
from semiseg.network import Backbone
from semiseg.networks.heads.branch import Branch

CODE = "xmed-lab/DHC: code/train_dst.py"
NETWORK = "xmed-lab/DHC: code/models/vnet_dst.py"


def certain(scores: Tensor, threshold: float) -> Tensor:
    """Voxels whose largest probability exceeds the threshold, bool ``[b z y x]``, of logits ``[b k z y x]``."""
    return scores.float().softmax(1).amax(1) > threshold


def shifted_log(values: Tensor, offset: float = 1e-6) -> Tensor:
    """ln(min(x + offset, 1)), finite at 0 and never above 0."""
    return (values + offset).clamp(max=1).log()


def unlike(worst: Tensor, labels: Tensor) -> Tensor:
    """Mean of -ln(1 - p) over voxels, p the probability of the label; logits ``[n k z y x]``, labels ``[n z y x]``."""
    probability = worst.float().softmax(1).gather(1, labels.unsqueeze(1))
    return -shifted_log(1 - probability).mean()


class DST(CoTraining):
    """L = L_sup(A) + L_sup(B) + w r(t) [L_cross(A, t_B) + L_cross(B, t_A) + eta (L_worst(A) + L_worst(B))].

    L_cross is the CE over the voxels with a certain label t, divided by all voxels. With h = argmax of the main logits,
    L_worst = eta' CE(worst, h) on labelled rows + mean -ln(1 - p_worst(h)) on unlabelled rows.
    """

    requires = ("further_decoders",)
    a: Backbone
    b: Backbone

    weight = Hyper(
        0.1,
        "weight w of the cross and worst-case terms, times the protocol's ramp",
        f"xmed-lab/DHC: README, -w; that of the rows is not recorded ({CODE}: 1)",
    )
    eta = Hyper(1.0, "weight of the worst-case terms, times w", CODE)
    eta_prime = Hyper(2.0, "weight of the labelled rows in a worst-case term", f"{CODE} WorstCaseEstimationLoss")
    threshold = Hyper(0.95, "a pseudo label counts above this probability", f"{CODE} training loop")
    reversal = Hyper(0.1, "strength of the gradient reversal in the end", f"{NETWORK} WarmStartGradientReverseLayer")
    reversal_steps = Hyper(500, "steps in which the reversal rises to 0.46 of its strength", f"{NETWORK} max_iters")
    reversal_alpha = Hyper(1.0, "speed of the rise of the reversal", f"{NETWORK} alpha")
    roles = Hyper(
        "swapped", "who makes pseudo labels for whom", f"{CODE}; original: the paper", ("swapped", "original")
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.reversal_steps < 1:
            raise UserError(f"DST.reversal_steps must be 1 or more steps; found {self.reversal_steps}")
        self.pseudo_a, self.worst_a = (Branch(self.a, context.classes) for _ in range(2))
        self.pseudo_b, self.worst_b = (Branch(self.b, context.classes) for _ in range(2))
        for pseudo in (self.pseudo_a, self.pseudo_b):
            pseudo.requires_grad_(self.roles == "original")

    def outputs(self, network: str, images: Tensor, time: TrainingTime) -> tuple[Tensor, ...]:
        """Logits of the main, the pseudo and the worst decoder; all maps that the last one receives are reversed."""
        whole = (self.a, self.pseudo_a, self.worst_a) if network == "a" else (self.b, self.pseudo_b, self.worst_b)
        backbone, pseudo, worst = whole
        strength = warm_coefficient(time.iteration, self.reversal_steps, self.reversal, alpha=self.reversal_alpha)
        maps = backbone.encode(images)
        main = backbone.head(backbone.decode(maps)[-1])
        with torch.set_grad_enabled(self.roles == "original"):
            labels = pseudo(maps)
        return main, labels, worst([reversed_gradient(each, strength) for each in maps])

    def scores(self, network: str, logits: Tensor, *further: Tensor) -> Tensor:
        """Logits of the decoder that makes pseudo labels."""
        return further[0] if self.roles == "swapped" else logits

    def terms(self, a: View, b: View, labels: Tensor) -> Terms:
        """Supervised and cross terms, then the worst-case terms."""
        return {**super().terms(a, b, labels), "worst_a": self.worst_case(a), "worst_b": self.worst_case(b)}

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t), times eta for the worst-case terms."""
        return {**super().weights(time), **dict.fromkeys(("worst_a", "worst_b"), self.eta * self.weight * time.ramp)}

    def cross(self, own: View, other: View) -> Tensor:
        """CE of the decoder that is trained with pseudo labels, over the voxels where the other network is certain."""
        learning = own.logits if self.roles == "swapped" else own.further[0]
        return masked_cross_entropy(learning, other.target, certain(other.scores, self.threshold))

    def worst_case(self, view: View) -> Tensor:
        """L_worst of a network."""
        (known, others), worst = view.logits.argmax(1).tensor_split([view.labelled]), view.further[1]
        agreement = cross_entropy(worst[: view.labelled], known)
        return self.eta_prime * agreement + unlike(worst[view.labelled :], others)
