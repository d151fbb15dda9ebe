"""MCF: mutual correction framework (Wang et al., CVPR 2023).

Two different networks, the protocol's and a V-Net with the encoder of a ResNet-34, learn from each other. On labelled
voxels about which they disagree, both are pulled to the truth once more. On unlabelled crops the network whose
labelled Dice is the better one in this step gives sharpened targets to the other one, which alone learns from them.
Follows WYC-321/MCF: code/train_MCF.py: CE + Dice without the factor 1/2; the rate falls one step late. The mean of both
networks' probabilities predicts, if the protocol takes all networks together (``inference.networks: mean_logits``).
Departure: one optimiser steps both networks after one backward pass; their gradients do not mix, so the steps are those
of two.
Ours (unverified): the form for more than one organ, in which the Dice and the squared error are means over the organs.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks.losses import cross_entropy, one_hot
from semiseg.blocks.mutual_consistency import sharpened
from semiseg.blocks.organ_dice import dice_squared_each
from semiseg.method import Batch, Context, Hyper, Method, Net, Terms, TrainingTime
from semiseg.networks.resnet34 import ResNet34

CODE = "WYC-321/MCF: code/train_MCF.py"


def disagreement(a: Tensor, b: Tensor) -> Tensor:
    """Voxels to which two networks give different classes, bool ``[b z y x]``, of logits ``[b k z y x]``."""
    return a.argmax(1) != b.argmax(1)


def a_teaches(dice_a: Tensor, dice_b: Tensor) -> Tensor:
    """Whether network a is the teacher, a bool scalar: its Dice loss is the lower one. Where both are equal b is."""
    return dice_a < dice_b


def rectification(probabilities: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean over the voxels of the mask of (p - y)^2, averaged over the organs; 0 where the mask is empty.

    probabilities: ``[b k z y x]``; labels, mask: ``[b z y x]``.
    """
    errors = (probabilities - one_hot(labels, probabilities.shape[1]).float())[:, 1:].square().mean(1)
    return (errors * mask).sum() / mask.sum().clamp(min=1)


class MCF(Method):
    """L = CE(A) + Dice(A) + w_r R(A) + CE(B) + Dice(B) + w_r R(B) + w r(t) mean((p_student - sharpen(p_teacher))^2).

    R is the squared error on the labelled voxels about which A and B disagree. Dice = 1 - (2 S(py) + s) / (S(p^2) +
    S(y^2) + s) with s = 1e-5.
    """

    networks: Mapping[str, str | Net] = {"a": "kaiming", "b": Net("kaiming", ResNet34)}
    inference_networks = ("a", "b")
    a: nn.Module
    b: nn.Module

    weight = Hyper(0.1, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    rectification_weight = Hyper(0.5, "weight w_r of the squared error where the networks disagree", CODE)
    temperature = Hyper(0.1, "temperature T of the sharpening", CODE)

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight)

    @property
    def rate_lag(self) -> int:
        """1: the script sets the rate after a step, by the number of that step counted from 0."""
        return 1

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised terms of both networks on the labelled rows, consistency of the student on the unlabelled ones."""
        images, labels, count = batch.everything, batch.labels, len(batch.images)
        logits = {name: self.get_submodule(name)(images).float() for name in ("a", "b")}
        probabilities = {name: each.softmax(1) for name, each in logits.items()}
        mask = disagreement(logits["a"][:count], logits["b"][:count])
        terms: Terms = {}
        for name, own in probabilities.items():
            terms[f"ce_{name}"] = cross_entropy(logits[name][:count], labels)
            terms[f"dice_{name}"] = dice_squared_each(own[:count], labels)
            terms[f"rectification_{name}"] = rectification(own[:count], labels, mask)
        a, b = (own[count:] for own in probabilities.values())
        to_a, to_b = ((own - self._target(other)).square().mean() for own, other in ((a, b), (b, a)))
        teacher_is_a = a_teaches(terms["dice_a"].detach(), terms["dice_b"].detach())
        return {**terms, "consistency": torch.where(teacher_is_a, to_b, to_a)}  # chosen on the device, without a wait

    def _target(self, probabilities: Tensor) -> Tensor:
        return sharpened(probabilities.detach(), self.temperature)

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """w_r of both networks, and the ramped weight w r(t)."""
        both = dict.fromkeys(("rectification_a", "rectification_b"), self.rectification_weight)
        return {**both, "consistency": self.weight * time.ramp}

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """Class probabilities ``[b k z y x]``: the mean of the networks' softmaxes."""
        return torch.stack([self.get_submodule(name)(image).softmax(1) for name in networks]).mean(0)
