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

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks.class_weights import rarity_weights, sampling_mask, sampling_rate
from semiseg.blocks.losses import SUMMED, ce_dice_organs, masked_cross_entropy, one_hot
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime

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


class CLD(Method):
    """L = L_sup(A) + L_sup(B) + w r(t) [CE(A, argmax B; mask A) + CE(B, argmax A; mask B)], all class-weighted."""

    networks = {"a": "kaiming", "b": "xavier"}
    inference_networks = ("a", "b")
    a: nn.Module
    b: nn.Module
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

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Both supervised losses, then both cross terms over the sampled voxels of all rows."""
        images, count, labels = batch.everything, len(batch.images), batch.labels
        a, b = self.a(images), self.b(images)
        self.bank_a.record(a[:count], labels, time.iteration)
        self.bank_b.record(b[:count], labels, time.iteration)
        from_a, from_b = a.argmax(1), b.argmax(1)
        kept_a, kept_b = self.kept(from_a, self.bank_a), self.kept(from_b, self.bank_b)
        return {
            "supervised_a": ce_dice_organs(a[:count], labels, self.class_weights),
            "supervised_b": ce_dice_organs(b[:count], labels, self.class_weights),
            "cross_a": masked_cross_entropy(a, from_b, kept_a, self.class_weights),
            "cross_b": masked_cross_entropy(b, from_a, kept_b, self.class_weights),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t) for both cross terms."""
        return dict.fromkeys(("cross_a", "cross_b"), self.weight * time.ramp)

    def kept(self, predicted: Tensor, bank: ConfidenceBank) -> Tensor:
        """Voxels that a network's cross term uses, bool ``[b z y x]``, sampled by its own predictions ``[b z y x]``."""
        rate = sampling_rate(bank.confidence, self.gamma, self.min_sr)
        return sampling_mask(predicted, rate, self.uniform(predicted))

    def uniform(self, predicted: Tensor) -> Tensor:
        """A random number in [0, 1) for each voxel, ``[1 b z y x]``."""
        return torch.rand(1, *predicted.shape, device=predicted.device)
