"""DCR: dual consistency regularisation with subjective logic (Lu et al., Comput. Biol. Med. 170, 2024), re-derived.

The network gives evidence e of each class. alpha = e + 1 are the parameters of a Dirichlet distribution over class
probabilities, of strength S = S_c alpha_c: the expected probability is alpha / S, the belief e / S, the uncertainty
K / S. On unlabelled crops the strong view must have the label of the weak one, where that is certain, and its opinion:
beliefs and uncertainty.
No code is published, and of the paper only the abstract could be read. All equations and numbers are therefore ours
(unverified): a row of this method is an approximation, not a reproduction. The evidential losses are those of Sensoy et
al. (NeurIPS 2018).
Ours: the weak view is the crop itself and has no gradient; the strong view is that of ``semiseg.blocks.perturbations``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks.losses import dice_squared_per_class, one_hot
from semiseg.blocks.perturbations import strong
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime

OURS = "ours (unverified): no code is published"
ACTIVATIONS = {"softplus": F.softplus, "relu": torch.relu, "exp": torch.exp}
SMOOTH = 1e-5


@dataclass(frozen=True)
class Opinion:
    """An opinion of subjective logic; alpha, belief and probability are ``[b k z y x]``."""

    alpha: Tensor

    @property
    def strength(self) -> Tensor:
        """S, the sum of alpha over classes, ``[b 1 z y x]``; the number of classes where there is no evidence."""
        return self.alpha.sum(1, keepdim=True)

    @property
    def probability(self) -> Tensor:
        """Expected probabilities alpha / S."""
        return self.alpha / self.strength

    @property
    def belief(self) -> Tensor:
        """Beliefs e / S; beliefs and uncertainty of a voxel sum to 1."""
        return (self.alpha - 1) / self.strength

    @property
    def uncertainty(self) -> Tensor:
        """K / S in (0, 1], ``[b 1 z y x]``."""
        return self.alpha.shape[1] / self.strength


def opinion(logits: Tensor, activation: str) -> Opinion:
    """The opinion of logits ``[b k z y x]``, in float32."""
    return Opinion(ACTIVATIONS[activation](logits.float()) + 1)


def evidential_cross_entropy(view: Opinion, labels: Tensor) -> Tensor:
    """Mean of psi(S) - psi(alpha_y): the cross-entropy that is expected under the Dirichlet distribution."""
    own = view.alpha.gather(1, labels.unsqueeze(1))
    return (view.strength.digamma() - own.digamma()).mean()


def misleading_evidence(view: Opinion, labels: Tensor) -> Tensor:
    """Mean KL of the Dirichlet distribution from the uniform one, after the label's own evidence is taken away."""
    alpha = torch.where(one_hot(labels, view.alpha.shape[1]), 1.0, view.alpha)
    strength, classes = alpha.sum(1, keepdim=True), alpha.new_tensor(float(alpha.shape[1]))
    constant = strength.lgamma() - classes.lgamma() - alpha.lgamma().sum(1, keepdim=True)
    return (constant + ((alpha - 1) * (alpha.digamma() - strength.digamma())).sum(1, keepdim=True)).mean()


def certain_labels(weak: Opinion, strong_view: Opinion) -> Tensor:
    """Mean of (1 - u_w) CE(p_s, argmax p_w)."""
    labels = weak.alpha.argmax(1, keepdim=True)
    own = strong_view.probability.gather(1, labels)
    return -((1 - weak.uncertainty) * own.log()).mean()


def agreement(weak: Opinion, strong_view: Opinion) -> Tensor:
    """Mean of (b_s - b_w)^2 over voxels and classes, plus the mean of (u_s - u_w)^2."""
    beliefs = (strong_view.belief - weak.belief).square().mean()
    return beliefs + (strong_view.uncertainty - weak.uncertainty).square().mean()


class DCR(Method):
    """L = L_ECE + min(1, epoch / anneal) L_KL + L_Dice + w r(t) [w_p L_pseudo + w_o L_opinion].

    The Dice loss is that of the organs, on expected probabilities.
    """

    networks = {"network": "default"}
    inference_networks = ("network",)
    network: nn.Module

    evidence = Hyper("softplus", "function from logits to evidence", OURS, tuple(ACTIVATIONS))
    anneal = Hyper(10, "epochs in which the KL term comes to its full weight", f"{OURS}; Sensoy et al. (NeurIPS 2018)")
    weight = Hyper(0.1, "weight w of both consistencies, times the protocol's ramp", f"{OURS}; that of yulequan/UA-MT")
    pseudo_weight = Hyper(1.0, "weight w_p of the labels of the weak view", OURS)
    opinion_weight = Hyper(1.0, "weight w_o of the opinions", OURS)

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.anneal < 1:
            raise UserError(f"DCR.anneal must be 1 or more epochs; found {self.anneal}")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Evidential losses and Dice of the labelled rows, two consistencies of both views of the unlabelled ones."""
        images = torch.cat([batch.everything, strong(batch.unlabelled)])
        counts = [len(each) for each in (batch.images, batch.unlabelled, batch.unlabelled)]
        known, weak, other = (opinion(logits, self.evidence) for logits in self.network(images).split(counts))
        weak = Opinion(weak.alpha.detach())
        return {
            "evidence": evidential_cross_entropy(known, batch.labels),
            "misleading": misleading_evidence(known, batch.labels),
            "dice": dice_squared_per_class(known.probability, batch.labels, SMOOTH)[1:].mean(),
            "pseudo": certain_labels(weak, other),
            "opinion": agreement(weak, other),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The rising weight of the KL term, and the ramped weights of the consistencies."""
        return {
            "misleading": min(1.0, time.epoch / self.anneal),
            "pseudo": self.pseudo_weight * self.weight * time.ramp,
            "opinion": self.opinion_weight * self.weight * time.ramp,
        }

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """Expected probabilities ``[b k z y x]`` of windows."""
        return opinion(self.network(image), self.evidence).probability
