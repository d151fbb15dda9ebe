"""Translation consistent semi-supervised segmentation (Liu et al., arXiv 2203.14523).

Two networks supervise each other on unlabelled crops, where they are confident: towards the likeliest class, and away
from an unlikely one. Each must also give the same output on the common part of two crops of a scan, whose entropy is
kept high. Every input has noise; pseudo labels come from the crop without noise. The crops on which the second network
is supervised have boxes of each other (CutMix).
Follows yyliu01/TraCoCo: Code/VnetLA/train.py, and Code/VnetPancreas, Code/UnetBRATS by hyperparameters. Both networks
stay in training mode when they give pseudo labels, and their batch norms follow the code's order of passes. The
consistency takes a softmax along an axis of space (``axis``), which is how the numbers in print came about.
The protocol cuts both crops of a scan (``augmentation.second``), and its rate is that of the step after (``lag: -1``).
Ours (unverified): more than two classes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from semiseg.blocks.box_mix import draw_boxes, mixed
from semiseg.blocks.intensity import brightened
from semiseg.method import Batch, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.tracoco_crops import overlap
from semiseg.methods.parts.tracoco_losses import confident_regions, negative_entropy, translation

CODE = "yyliu01/TraCoCo: Code/VnetLA/train.py"
AXES = {"space": 1, "class": 0}


def noise(images: Tensor, limit: float) -> Tensor:
    """Uniform random numbers in [-limit, limit] for images ``[b c z y x]``."""
    return (2 * torch.rand_like(images) - 1) * limit


class TraCoCo(Method):
    """L = S_n [L_sup + w r(t) (L_crc + w_s L_translation + w_e mean S_c p ln p)], n = 1, 2 the networks."""

    networks = {"a": "default", "b": "default"}
    inference_networks = ("a", "b")
    requires = ("second_crops", "scaled_intensities:brightness")
    a: nn.Module
    b: nn.Module

    brightness = Hyper(True, "whether crops have a random brightness", f"{CODE}, Code/UnetBRATS; not Pancreas")
    weight = Hyper(0.3, "weight w of the unsupervised terms, times the protocol's ramp", f"{CODE}: LA with 8 labels")
    translation_weight = Hyper(0.3, "weight w_s of the translation consistency", f"{CODE}; 1 on Pancreas")
    entropy_weight = Hyper(0.1, "weight w_e of the negative entropy", f"{CODE} hyp; 0.05 on BraTS")
    positive = Hyper(0.65, "probability from which a pseudo label counts", CODE)
    negative = Hyper(0.1, "probability below which a class is excluded", CODE)
    noise = Hyper(0.2, "largest change of a voxel by noise", f"{CODE}; 0.05 on Pancreas and BraTS")
    clip = Hyper(False, "whether noisy images are clipped to [0, 1]", f"{CODE}; true on Pancreas and BraTS")
    axis = Hyper("space", "axis of the softmax in the consistency", f"{CODE}; arXiv 2203.14523: class", tuple(AXES))

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """The four terms of each network; pseudo labels come before the passes of the network that gives them."""
        crops, labelled = brightened(batch) if self.brightness else batch, len(batch.images)
        images = crops.everything
        target = self._pseudo("b", images)
        terms = self._terms("a", crops, images, target[labelled:])
        boxes, target = draw_boxes(images), self._pseudo("a", images)
        return terms | self._terms("b", crops, mixed(images, boxes), mixed(target, boxes)[labelled:])

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """w r(t), times w_s and w_e for the terms of common parts."""
        ramped = self.weight * time.ramp
        shares = {"cross": 1.0, "translation": self.translation_weight, "entropy": self.entropy_weight}
        return {f"{term}_{name}": ramped * share for term, share in shares.items() for name in ("a", "b")}

    @torch.no_grad()
    def _pseudo(self, network: str, images: Tensor) -> Tensor:
        """Logits of a network in training mode."""
        logits: Tensor = self.get_submodule(network)(images).float()
        return logits

    def _terms(self, network: str, crops: Batch, third: Tensor, target: Tensor) -> Terms:
        """The terms of a network. third: images on which it is supervised by the target of their unlabelled rows."""
        first, second, others = (self._noisy(network, images) for images in (crops.everything, crops.second, third))
        count = len(crops.images)
        boxes = zip(*(overlap(shifts, first.shape[2:]) for shifts in crops.shifts.tolist()), strict=True)
        parts = [
            [logits[:, *box] for logits, box in zip(outputs, own, strict=True)]
            for outputs, own in zip((first, second), boxes, strict=True)
        ]
        a, b = ([part for part in crops if part.numel()] for crops in parts)
        nothing = first.new_zeros(())
        return {
            f"supervised_{network}": self.context.supervised(first[:count], crops.labels),
            f"cross_{network}": confident_regions(others[count:], target, self.positive, self.negative),
            f"translation_{network}": translation(a, b, AXES[self.axis]) if a else nothing,
            f"entropy_{network}": negative_entropy([*a, *b]) if a else nothing,
        }

    def _noisy(self, network: str, images: Tensor) -> Tensor:
        """Logits, float32, of images with noise."""
        changed = images + noise(images, self.noise)
        logits: Tensor = self.get_submodule(network)(changed.clamp(0, 1) if self.clip else changed)
        return logits.float()
