"""GuidedNet (Zhao et al., ACM MM 2024, arXiv 2408.04914): labelled features guide unlabelled data.

Two networks supervise each other (KT-CPS). Similarity maps of each class around labelled prototypes (3D-CGMM) supervise
the features.
Follows kimjisoo12/GuidedNet (train_guidedNet_flare.py, utils/tools.py), also where it departs from the paper:
- Maps are exp(-d^2) without variance or Bayes step (eq. 4-7).
- Prototypes are per image, and unlabelled crop j is compared with those of labelled crop j (eq. 3).
- The losses are half binary cross-entropies over present classes (eq. 8, 13).
- The separation sums prototypes over the batch (eq. 10).
- The consistency acts on labelled maps and counts twice (eq. 11).
- One class weight vector is shared; network a updates it first (eq. 16-18).
- The cross term is a weighted CE without Dice (eq. 19).
- The rectification trains nothing (``rectify: released``): the code computes it in float16, which cannot hold its
  gradients at the published crop and batch. Its value is logged. ``rectify: paper`` trains by eq. 13 in float32.
Departures from the code: the value of the rectification is computed in float32. The cross term is 0, not NaN, if all
pseudo labels are background. The initial class weights come from labelled volumes only. The code counts the first 42
cases of its list, and on AMOS 24 of these are unlabelled; this (``kt_init_cases: 42``) is not offered, because labels
of unlabelled cases are unreachable by design.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.class_counts import class_counts, prototypes
from semiseg.blocks.class_weights import knowledge_weights, update_knowledge_weights
from semiseg.blocks.losses import cross_entropy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.guidednet_similarity import separation, similarity_losses
from semiseg.network import Backbone

CODE = "kimjisoo12/GuidedNet: train_guidedNet_flare.py"


def correct_counts(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Correct voxels per class ``[k]`` of class ids ``[b z y x]``; every wrong voxel counts for class 0."""
    return class_counts(torch.where(predicted == labels, labels, 0), classes).sum(0)


class GuidedNet(Method):
    """L = L_sup(A) + L_sup(B) + lambda_g [sum of L_gt + L_self + L_max + L_rect + 2 r L_cons] + r L_cps."""

    networks = {"a": "kaiming", "b": "xavier"}
    inference_networks = ("a", "b")
    requires = ("equal_halves",)
    a: Backbone
    b: Backbone
    class_weights: Tensor

    weight = Hyper(0.1, "r is this times the protocol's ramp", f"lambda_u of eq. 2; {CODE} --consistency")
    lambda_g = Hyper(0.3, "weight of the similarity losses", "eq. 2; kimjisoo12/GuidedNet: README --lanmuda")
    momentum = Hyper(0.99, "fraction of the class weights that a step keeps", f"m of eq. 18; {CODE} KTCPS")
    kt_weights = Hyper(True, "class weights in the cross term", "Table 3")
    cgmm = Hyper(True, "similarity maps and their losses", "Table 3")
    loss_gt = Hyper(True, "similarity maps against labels", "eq. 8, Table 4; utils/tools.py cal_gmm_loss")
    loss_self = Hyper(True, "probabilities against similarity maps", "eq. 9, Table 4; utils/tools.py cal_gmm_loss")
    loss_max = Hyper(True, "separation of the prototypes", "eq. 10, Table 4; utils/tools.py cal_protypes")
    loss_cons = Hyper(True, "agreement of the two networks' maps", f"eq. 11, Table 4; {CODE}")
    loss_rectify = Hyper(True, "unlabelled probabilities against maps", "eq. 13; utils/tools.py gmm_loss")
    rectify = Hyper(
        "released", "released: the rectification is logged alone; paper: it trains", "eq. 13", ("released", "paper")
    )
    cgmm_layer = Hyper(4, "decoder layer of the features, 1 deep to 4 full size", "Figure 5b; code: 4", (1, 2, 3, 4))

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        initial = context.classes * knowledge_weights(context.labelled_voxels.sum(0).float())
        self.register_buffer("class_weights", initial)

    @property
    def logged_only(self) -> frozenset[str]:
        """The rectification in its released form."""
        return frozenset({"rectify"} if self.rectify == "released" else ())

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised losses, similarity losses, cross term."""
        count, images = len(batch.images), batch.everything
        a, features_a = self._logits_and_features(self.a, images)
        b, features_b = self._logits_and_features(self.b, images)
        terms = {
            "supervised_a": self.context.supervised(a[:count], batch.labels),
            "supervised_b": self.context.supervised(b[:count], batch.labels),
        }
        if self.cgmm:
            terms |= self._similarity_terms(batch, [(features_a, a), (features_b, b)])
        return terms | {"cross": self._cross(a, b, batch.labels)}

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """lambda_g for the similarity losses, the ramp for terms of both networks; L_cons is in both networks' sums."""
        ramp, guide = self.weight * time.ramp, self.lambda_g
        return {"gt": guide, "self": guide, "max": guide, "rectify": guide, "cons": 2 * guide * ramp, "cross": ramp}

    def _logits_and_features(self, network: Backbone, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[i k z y x]``, and features ``[i c z y x]`` of the chosen decoder layer, resized to full size."""
        maps = network.features(images)
        feature, size = maps[self.cgmm_layer - 1], images.shape[2:]
        if feature.shape[2:] != size:
            feature = F.interpolate(feature, size=size, mode="trilinear", align_corners=False)
        return network.head(maps[-1]), feature

    def _similarity_terms(self, batch: Batch, networks: list[tuple[Tensor, Tensor]]) -> Terms:
        """The enabled similarity losses, each summed over the networks, of their features and logits."""
        labels, count = batch.labels, len(batch.labels)
        counts = class_counts(labels, self.context.classes)
        present = (counts > 0).float()
        centres = [prototypes(features[:count], labels, counts) for features, _ in networks]
        own, truth, rectify, consistency = similarity_losses(labels, present, networks, centres)
        maximum = torch.stack([separation(centre, present) for centre in centres])
        terms = {
            "gt": (self.loss_gt, truth.sum()),
            "self": (self.loss_self, own.sum()),
            "max": (self.loss_max, maximum.sum()),
            "cons": (self.loss_cons, consistency),
            "rectify": (self.loss_rectify, rectify.sum() if self.rectify == "paper" else rectify.sum().detach()),
        }
        return {name: term for name, (enabled, term) in terms.items() if enabled}

    def _cross(self, a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        """CE of each network with the other's hard labels, weighted by the other's class weights."""
        to_a, to_b = a.argmax(1), b.argmax(1)
        weights_a = self._update_class_weights(to_a[: len(labels)], labels)
        weights_b = self._update_class_weights(to_b[: len(labels)], labels)
        return cross_entropy(a, to_b, weights_b) + cross_entropy(b, to_a, weights_a)

    def _update_class_weights(self, predicted: Tensor, labels: Tensor) -> Tensor | None:
        """The shared class weights ``[k]`` after averaging in one network's labelled predictions; None if not used."""
        if not self.kt_weights:
            return None
        counts = correct_counts(predicted, labels, self.context.classes)
        self.class_weights = update_knowledge_weights(self.class_weights, counts, self.momentum)
        return self.class_weights
