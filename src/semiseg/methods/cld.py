"""Calibrating Label Distribution (Lin et al., MICCAI 2022): classes weighted by rarity, voxels sampled by confidence.

Cross Pseudo Supervision with class weights (max N / N_k)^(1/3), from the labelled volumes, in supervised and cross
terms. The cross terms use a random part of the voxels. Each network has a confidence bank: the mean probability of the
true class on labelled voxels. Voxels that the network predicts as a class of low confidence are sampled more often.
Follows xmed-lab/DHC: code/train_cld.py. The mask of A's cross term comes from A's OWN prediction and bank, although the
target is B's. The term divides by all voxels, sampled or not. A class that has not occurred since a bank's last update
counts as confidence 0. Until the first update, after ``update_iter`` steps, both banks hold the same random numbers.
Departures from the code: one map of random numbers serves all classes (equal in distribution). Ours: a class without
labelled voxels has weight 0, not infinity. The crops of the authors' own code that prefer organs along z
(xmed-lab/CLD-Semi: RandomCrop_cz) are a matter of the protocol's sampling and are not built, as in xmed-lab/DHC. The
supervised loss is the method's own, not the protocol's. With the 3D U-Net this is ours (unverified) as well, because
the code of those rows is not published.
"""

from typing import Any

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks.class_weights import rarity_weights, sampling_mask, sampling_rate
from semiseg.blocks.losses import SUMMED, masked_cross_entropy, one_hot
from semiseg.method import Context, Hyper, TrainingTime
from semiseg.methods.parts.co_training import View, WeightedCoTraining

CODE = "xmed-lab/DHC: code/train_cld.py"


class ConfidenceBank(nn.Module):
    """Moving average of the probability of the true class: the buffer ``confidence`` ``[k]``, at first ``start``."""

    confidence: Tensor
    pooled: Tensor
    voxels: Tensor

    def __init__(self, start: Tensor, update_iter: int, momentum: float) -> None:
        super().__init__()
        self.update_iter, self.momentum = update_iter, momentum
        self.register_buffer("confidence", start.clone())
        self.register_buffer("pooled", torch.zeros_like(start))
        self.register_buffer("voxels", torch.zeros_like(start))

    @torch.no_grad()
    def record(self, logits: Tensor, labels: Tensor, iteration: int) -> None:
        """Pool labelled logits ``[b k z y x]`` and labels ``[b z y x]``; average them every ``update_iter`` steps."""
        truth = one_hot(labels, logits.shape[1])
        self.pooled = self.pooled + (logits.float().softmax(1) * truth).sum(SUMMED)
        self.voxels = self.voxels + truth.sum(SUMMED)
        if (iteration + 1) % self.update_iter:
            return
        new, first = self.pooled / (self.voxels + 1e-12), iteration + 1 == self.update_iter
        self.confidence = new if first else self.momentum * self.confidence + (1 - self.momentum) * new
        self.pooled, self.voxels = torch.zeros_like(new), torch.zeros_like(new)


class CLD(WeightedCoTraining):
    """L = L_sup(A) + L_sup(B) + w r(t) [CE(A, argmax B; mask A) + CE(B, argmax A; mask B)], all class-weighted."""

    class_weights: Tensor

    weight = Hyper(
        0.1,
        "weight w of the cross terms, times the protocol's ramp",
        "xmed-lab/CLD-Semi: code/train_cld.py; that of the xmed-lab/DHC rows is not recorded (argparse: 1)",
    )
    update_iter = Hyper(
        8, "steps between two updates of a confidence bank", f"{CODE} --confs_iter; xmed-lab/CLD-Semi: 2"
    )
    momentum = Hyper(0.999, "fraction of the confidence that an update keeps", f"{CODE} ConfidenceBank")
    gamma = Hyper(0.5, "exponent of the sampling rates", f"{CODE} cal_sampling_rate")
    min_sr = Hyper(0.0, "least sampling rate of an organ", f"{CODE} cal_sampling_mask")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.update_iter < 1:
            raise UserError(f"CLD.update_iter must be 1 or more steps; found {self.update_iter}")
        self.register_buffer("class_weights", rarity_weights(context.labelled_voxels.sum(0).float()))
        start = torch.rand(context.classes)
        self.bank_a = ConfidenceBank(start, self.update_iter, self.momentum)
        self.bank_b = ConfidenceBank(start, self.update_iter, self.momentum)

    def observe(self, a: View, b: View, labels: Tensor, time: TrainingTime) -> None:
        """Record the labelled rows of each network in its bank."""
        for view in (a, b):
            self.bank(view).record(view.logits[: view.labelled], labels, time.iteration)

    def weights_of(self, network: str) -> Tensor:
        """The same class weights ``[k]`` for both networks."""
        return self.class_weights

    def cross(self, own: View, other: View) -> Tensor:
        """Weighted CE of a network over the voxels that are sampled by its own predictions."""
        kept = self.kept(own.predicted, self.bank(own))
        return masked_cross_entropy(own.logits, other.target, kept, self.class_weights)

    def bank(self, view: View) -> ConfidenceBank:
        """The confidence bank of a network."""
        return self.bank_a if view.network == "a" else self.bank_b

    def kept(self, predicted: Tensor, bank: ConfidenceBank) -> Tensor:
        """Voxels that a network's cross term uses, bool ``[b z y x]``, sampled by its own predictions ``[b z y x]``."""
        rate = sampling_rate(bank.confidence, self.gamma, self.min_sr)
        return sampling_mask(predicted, rate, self.uniform(predicted))

    def uniform(self, predicted: Tensor) -> Tensor:
        """A random number in [0, 1) for each voxel, ``[1 b z y x]``."""
        return torch.rand(1, *predicted.shape, device=predicted.device)
