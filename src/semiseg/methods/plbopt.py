"""Pseudo Label Optimization (Ji, Ye, Ma; manuscript for Expert Systems with Applications) on top of another method.

Superpixels correct the borders of the pseudo labels, a triplet loss parts border from interior features, and where one
network alone is confident the other one follows it. ``base`` names the method whose pseudo labels are optimised; its
own hyperparameters are those that the protocol gives it. The nine bases are those of Table VIII.
No code is published (yeshunlong/PLBOpt holds a README). What the paper leaves open is ours (unverified):
Refined labels of unlabelled crops replace the targets within the base's own cross terms, because Table V reports a
gain of refinement alone; class weights, masks and other state of the base come from the labels as they were.
Superpixels divide the image, not the pseudo label, slice by slice, with settings that are in parts/plbopt_superpixels.
Of several organs in one the most frequent counts, and the entropy is that of the network whose labels are refined.
Features are the head's input at unit length, without a further extractor. Border and interior are those of the refined
labels of the head that predicts. The limits of the levels are quantiles. Both banks serve both networks. Positives and
negatives come from the banks and from the step itself, and the anchor is not its own positive. The paper gives the same
vectors to both banks, which is read as a misprint.
The correction compares probabilities, because one-hot labels have no gradient. Only the unsure network moves.
``urpc`` has one network and no pseudo labels, so two of it are trained, with a cross term on the refined labels.
Training supervises both networks, as the bases do; Algorithm 1 writes one.
The noise of Table IX acts on the scans that are predicted, not in training; without its three parts PLBOpt is the base,
whose rows of that table are thus made.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.ramps import sigmoid_rampup
from semiseg.method import Batch, Context, Derive, Hyper, Method, Terms, TrainingTime, method_class
from semiseg.methods.parts.plbopt_base import Base
from semiseg.methods.parts.plbopt_noise import disturbed
from semiseg.methods.parts.plbopt_superpixels import refined, superpixels
from semiseg.methods.parts.plbopt_triplets import Triplets, View, mutual_correction

PAPER = "Ji, Ye, Ma"
OURS = "ours (unverified): the paper gives none"
BASES = ("dhc", "cps", "cld", "crest", "simis", "adsh", "depl", "dst", "urpc")
ALGORITHMS = ("slic", "watershed", "felzenszwalb", "quickshift")


class PLBOpt(Method):
    """L = L_base(refined targets) + l_tri q(t) L_tri + l_MC q(t) L_MC, q(t) = exp(-5 (1 - e/E)^2) of epoch e of E."""

    wraps = "base"
    requires = ("superpixels:voxels_per_superpixel",)

    base = Hyper("dhc", "the method whose pseudo labels are optimised", f"{PAPER}: Table VIII; DHC elsewhere", BASES)
    refine = Hyper(True, "whether superpixels correct the pseudo labels", f"{PAPER}: Table V")
    triplet = Hyper(True, "whether there is a triplet loss", f"{PAPER}: Table V")
    correction = Hyper(True, "whether the networks correct each other", f"{PAPER}: Table V")
    algorithm = Hyper("slic", "algorithm of the superpixels", f"{PAPER}: Table VI", ALGORITHMS)
    voxels_per_superpixel = Hyper(50, "voxels of a slice for each superpixel", f"{PAPER}: Table VII, H W / 50")
    entropy_tau = Hyper(0.5, "entropy in nats above which a region changes", OURS)
    conf_tau = Hyper(0.8, "probability above which a network is confident", OURS)
    lambda_triplet = Hyper(0.1, "weight l_tri of the triplet loss in the end", OURS)
    lambda_correction = Hyper(0.1, "weight l_MC of the mutual correction in the end", OURS)
    levels = Hyper(3, "levels of confidence", f"{PAPER}: Section III-B, k")
    alpha = Hyper(0.5, "margin of the triplets", OURS)
    capacity = Hyper(1024, "vectors of an organ that a bank keeps", OURS)
    drawn = Hyper(256, "most border and most interior voxels of an organ and level in a step", OURS)
    mining = Hyper("paper", "pairs that count: the easiest or the hardest", f"{PAPER}: Eqs. 5, 6", ("paper", "hard"))
    reduction = Hyper("mean", "of the anchors of a level", "ours (unverified); sum: Eq. 8", ("mean", "sum"))
    correction_gradient = Hyper("unsure", "networks that the correction moves", OURS, ("unsure", "both"))
    correction_divisor = Hyper("disputed", "voxels in dispute or crops", "ours; crops: Eq. 10", ("disputed", "crops"))
    cross = Hyper(0.1, "weight, times the protocol's ramp, of the cross term that urpc gets", "ours: that of cps")
    noise = Hyper("none", "noise on test scans", f"{PAPER}: Table IX", ("none", "weak", "strong"), at_prediction=True)

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.superpixels: Tensor | None = None  # of the unlabelled crops of a step, while its losses are computed
        inner, base = replace(context, refine=self.targets), method_class(self.base)
        self.wrapped = Base(lambda: base(inner, **context.wrapped))
        self.inference_networks = tuple(f"wrapped.{name}" for name in self.wrapped.networks)
        self.large_state = {f"wrapped.{name}": place for name, place in self.wrapped.large_state.items()}
        if self.triplet:
            sizes = self.wrapped.backbones[0].widths[0], self.levels, self.capacity, self.drawn
            self.triplets = Triplets(context.classes - 1, *sizes, self.alpha, self.mining, self.reduction)

    @property
    def rate_lag(self) -> int:
        """That of the base."""
        return self.wrapped.rate_lag

    @property
    def derive(self) -> Derive | None:
        """The superpixels of a crop, ``[z y x]``."""
        algorithm, voxels = self.algorithm, self.voxels_per_superpixel
        return (lambda crop: {"superpixels": superpixels(crop[0], algorithm, voxels)}) if self.refine else None

    def targets(self, labels: Tensor, scores: Tensor) -> Tensor:
        """Pseudo labels ``[n z y x]`` of scores ``[n k z y x]``, refined where they are of unlabelled crops."""
        if self.superpixels is None:
            return labels
        known, others = labels.tensor_split([len(labels) - len(self.superpixels)])
        probabilities = scores[len(known) :].float().softmax(1)
        return torch.cat([known, refined(others, probabilities, self.superpixels, self.entropy_tau)])

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """The terms of the base, then the own ones, which use the unlabelled rows of the heads that predict."""
        self.superpixels = batch.maps["superpixels"] if self.refine else None
        terms, *passes = self.wrapped.losses(batch, time)
        a, b = (each.logits for each in passes)
        labels = [self.targets(each.argmax(1), each.detach()) for each in (a, b)]
        self.superpixels = None
        if self.wrapped.is_twice:
            terms |= {"cross_a": cross_entropy(a, labels[1]), "cross_b": cross_entropy(b, labels[0])}
        known = len(batch.images)
        p_a, p_b = (each[known:].float().softmax(1) for each in (a, b))
        if self.triplet:
            views = zip(passes, (p_a, p_b), labels, strict=True)
            terms["triplet"] = self.triplets([View(one.features[known:], p, own[known:]) for one, p, own in views])
        if self.correction:
            rule = self.conf_tau, self.correction_gradient, self.correction_divisor
            terms["correction"] = mutual_correction(p_a, p_b, *rule)
        return terms

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Those of the base, of the cross terms that urpc gets, and l_tri q(t) and l_MC q(t)."""
        cross = dict.fromkeys(("cross_a", "cross_b"), self.cross * time.ramp) if self.wrapped.is_twice else {}
        own = {"triplet": self.lambda_triplet, "correction": self.lambda_correction}  # by the names of their switches
        q = sigmoid_rampup(time.epoch, time.epochs)
        return {**self.wrapped.weights(time), **cross, **{name: own[name] * q for name in own if getattr(self, name)}}

    def after_step(self, time: TrainingTime) -> None:
        """That of the base."""
        self.wrapped.after_step(time)

    def presented(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """The image with the noise of Table IX."""
        return disturbed(image, self.noise, rng)
