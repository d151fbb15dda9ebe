"""GuidedNet (Zhao et al., ACM MM 2024, arXiv 2408.04914): labelled features guide unlabelled data.

Two networks supervise each other (KT-CPS) while per-class similarity maps around labelled prototypes (3D-CGMM) teach
the features. Follows kimjisoo12/GuidedNet (train_guidedNet_flare.py, utils/tools.py) where it departs from the paper:
maps are exp(-d^2) without variance or Bayes step (eq. 4-7); prototypes are per image, and unlabelled crop j meets those
of labelled crop j (eq. 3); losses are half binary cross-entropies over present classes (eq. 8, 13); the separation sums
prototypes over the batch (eq. 10); consistency acts on labelled maps and counts twice (eq. 11); one class weight vector
is shared, network a first (eq. 16-18); the cross term is a weighted CE without Dice (eq. 19).
Departures from the code: rectification in float32; the cross term is 0, not NaN, if all pseudo labels are background;
the initial class weights come from labelled volumes only. The code counts the first 42 cases of its list, on AMOS 24
unlabelled ones among them: not offered (``kt_init_cases: 42``), labels of unlabelled cases are unreachable by design.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.class_counts import class_counts, prototypes
from semiseg.blocks.class_weights import followed, knowledge_weights
from semiseg.blocks.losses import cross_entropy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import guidednet_similarity as pt
from semiseg.network import Backbone

CODE = "kimjisoo12/GuidedNet: train_guidedNet_flare.py"


def correct_counts(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Correct voxels per class ``[k]`` of class ids ``[b z y x]``; every wrong voxel counts for class 0."""
    return class_counts(torch.where(predicted == labels, labels, 0), classes).sum(0)


class GuidedNet(Method):
    """L = L_sup(A) + L_sup(B) + lambda_g [sum of L_gt + L_self + L_max + L_rect + 2 r L_cons] + r L_cps."""

    networks = {"a": "kaiming", "b": "xavier"}
    inference_networks = ("a", "b")
    equal_halves = True
    a: Backbone
    b: Backbone
    class_weights: Tensor

    weight = Hyper(0.1, "r is this times the protocol's ramp", f"lambda_u of eq. 2; {CODE} --consistency")
    lambda_g = Hyper(0.3, "weight of the similarity losses", "eq. 2; kimjisoo12/GuidedNet: README --lanmuda")
    momentum = Hyper(0.99, "share of the class weights that a step keeps", f"m of eq. 18; {CODE} KTCPS")
    kt_weights = Hyper(True, "class weights in the cross term", "Table 3")
    cgmm = Hyper(True, "similarity maps and their losses", "Table 3")
    loss_gt = Hyper(True, "similarity maps against labels", "eq. 8, Table 4; utils/tools.py cal_gmm_loss")
    loss_self = Hyper(True, "probabilities against similarity maps", "eq. 9, Table 4; utils/tools.py cal_gmm_loss")
    loss_max = Hyper(True, "separation of the prototypes", "eq. 10, Table 4; utils/tools.py cal_protypes")
    loss_cons = Hyper(True, "agreement of the two networks' maps", f"eq. 11, Table 4; {CODE}")
    loss_rectify = Hyper(True, "unlabelled probabilities against maps", "eq. 13; utils/tools.py gmm_loss")
    cgmm_layer = Hyper(4, "decoder layer of the features, 1 deep to 4 full size", "Figure 5b; code: 4", (1, 2, 3, 4))

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        initial = context.classes * knowledge_weights(context.labelled_voxels.float())
        self.register_buffer("class_weights", initial)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised losses, similarity losses, cross term."""
        count, images = len(batch.images), batch.everything
        a, features_a = self._speak(self.a, images)
        b, features_b = self._speak(self.b, images)
        terms = {
            "supervised_a": self.context.supervised(a[:count], batch.labels),
            "supervised_b": self.context.supervised(b[:count], batch.labels),
        }
        if self.cgmm:
            terms |= self._guide(batch, (features_a, a), (features_b, b))
        return terms | {"cross": self._cross(a, b, batch.labels)}

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """lambda_g for the similarity losses, the ramp for what looks at both networks; L_cons stands in both sums."""
        ramp, guide = self.weight * time.ramp, self.lambda_g
        return {"gt": guide, "self": guide, "max": guide, "rectify": guide, "cons": 2 * guide * ramp, "cross": ramp}

    def _speak(self, network: Backbone, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[i k z y x]``, and features ``[i c z y x]`` of the chosen decoder layer at full size."""
        maps = network.features(images)
        feature, size = maps[self.cgmm_layer - 1], images.shape[2:]
        if feature.shape[2:] != size:
            feature = F.interpolate(feature, size=size, mode="trilinear", align_corners=False)
        return network.head(maps[-1]), feature

    def _guide(self, batch: Batch, *networks: tuple[Tensor, Tensor]) -> Terms:
        """The similarity losses, each summed over the networks."""
        labels, count = batch.labels, len(batch.labels)
        counts = class_counts(labels, self.context.classes)
        present = (counts > 0).float()
        centres = [prototypes(features[:count], labels, counts) for features, _ in networks]
        own, truth, rectify, cons = pt.similarity_losses(labels, present, networks, centres)
        maximum = torch.stack([pt.separation(centre, present) for centre in centres])
        terms = {"gt": truth.sum(), "self": own.sum(), "max": maximum.sum(), "cons": cons, "rectify": rectify.sum()}
        return {name: term for name, term in terms.items() if getattr(self, f"loss_{name}")}

    def _cross(self, a: Tensor, b: Tensor, labels: Tensor) -> Tensor:
        """Each network on the other's hard labels, weighted by what the other one knows."""
        to_a, to_b = a.argmax(1), b.argmax(1)
        weights_a = self._learn(to_a[: len(labels)], labels)
        weights_b = self._learn(to_b[: len(labels)], labels)
        return cross_entropy(a, to_b, weights_b) + cross_entropy(b, to_a, weights_a)

    def _learn(self, predicted: Tensor, labels: Tensor) -> Tensor | None:
        """Moving average of the shared class weights after seeing one network's labelled predictions."""
        if not self.kt_weights:
            return None
        counts = correct_counts(predicted, labels, self.context.classes)
        self.class_weights = followed(self.class_weights, counts, self.momentum)
        return self.class_weights
