"""DVCL: distance-aware voxel-wise contrastive learning (Zhao et al., "Keep Your Friends Close, and Your Enemies
Farther", ICCV 2025).

Two networks supervise each other (CPS). Voxels are split by the entropy of their prediction. Labelled and reliable
voxels are contrasted class by class (HqCL). Unreliable voxels are pulled to their nearest neighbours and pushed from
the most distant voxels, whatever their pseudo labels (DVCL). No official code could be found, so this is built from the
supplement.
The supplement gives: two 3D U-Nets with feature heads of V channels and without an averaged network; the order of the
steps; an entropy split with alpha; the sets of HqCL with M, N and the temperature; the loss of DVCL (appendix G) with K
and K'; L_contra = HqCL + beta DVCL; beta and lambda_c.
Ours (unverified):
- L_sup, lambda_u with its ramp, and the kaiming and xavier weights are those of guidednet. The cross term is a plain CE
  on unlabelled rows. One network predicts: the better one on validation.
- The feature head is pointwise, on the last decoder map after dropout. A voxel is unreliable if its entropy exceeds the
  mean of its item by more than alpha SD.
- The formulas of HqCL follow U2PL: the class mean is the positive, labelled voxels of other classes are negatives.
- No gradient flows into positives, negatives, neighbours and distant voxels.
- The bound is used without its constant, and its sums are divided by K.
- At most ``pool`` unreliable voxels of each network are compared, and ``queries`` of them per network are queries.
- Neighbours are ranked by the cosine of feature vectors. The rules that leave out outlying queries (QDS) and weight
  neighbours (NPS) are those of ``dvcl_neighbours.py``.
"""

from collections.abc import Mapping
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks import voxels
from semiseg.blocks.consistency import cross_supervision
from semiseg.blocks.losses import masked_cross_entropy
from semiseg.blocks.reliability import above_mean, entropy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.dvcl_contrast import Sizes, View, class_contrast
from semiseg.methods.parts.dvcl_neighbours import Pool, join, neighbour_loss
from semiseg.network import Backbone
from semiseg.networks.heads.pointwise import PointwiseHead

PAPER = "DVCL, supplement, Figure 5 and text"
OURS = "ours: the supplement gives none"


class DVCL(Method):
    """L = L_sup(A) + L_sup(B) + lambda_u r(t) L_cps + lambda_c (L_hqcl + beta L_dvcl)."""

    networks = {"a": "kaiming", "b": "xavier"}
    inference_networks = ("a", "b")
    a: Backbone
    b: Backbone

    weight = Hyper(0.1, "weight lambda_u of the cross term, times the protocol's ramp", "ours: that of guidednet")
    lambda_c = Hyper(0.1, "weight of the contrast", PAPER)
    beta = Hyper(0.3, "weight of DVCL within the contrast", PAPER)
    alpha = Hyper(0.5, "SDs above the mean entropy from which voxels are unreliable", PAPER)
    neighbours = Hyper(10, "nearest neighbours K of a query", "DVCL, supplement, Table 5")
    outsiders = Hyper(15, "most distant voxels K' of a query", "DVCL, supplement, Table 5")
    temperature = Hyper(1.0, "temperature of HqCL", PAPER)
    anchors = Hyper(256, "anchors M per class and network", PAPER)
    negatives = Hyper(50, "negatives N per anchor", PAPER)
    feature_channels = Hyper(256, "channels V of a feature vector", PAPER)
    prototype_voxels = Hyper(2048, "most voxels of a class that make its prototype", OURS)
    pool = Hyper(4096, "most unreliable voxels per network and step", OURS)
    queries = Hyper(256, "queries M' per network", OURS)
    one_sided_affinity = Hyper(
        0.1, "affinity of a neighbour that is not mutual", "ours: after Yang et al., NeurIPS 2021"
    )
    rank_space = Hyper(
        "features", "vectors that rank neighbours: features or probabilities", OURS, ("features", "prob")
    )
    dvcl_norm = Hyper("neighbours", "what divides the bound: K or nothing", OURS, ("neighbours", "none"))
    cps_entropy_weight = Hyper(False, "cross term weighted by 1 - H / ln K of its target", "ours: a draft weighted it")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.head_a = PointwiseHead(self.a.widths[0], self.feature_channels)
        self.head_b = PointwiseHead(self.b.widths[0], self.feature_channels)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised losses, cross term, HqCL over reliable and DVCL over unreliable voxels."""
        labels, count, images = batch.labels, len(batch.labels), batch.everything
        feature_a, feature_b = self.a.features(images)[-1], self.b.features(images)[-1]
        a, b = self.a.head(feature_a), self.b.head(feature_b)
        view_a, pool_a = self._view_and_pool(feature_a, a[count:], self.head_a, labels)
        view_b, pool_b = self._view_and_pool(feature_b, b[count:], self.head_b, labels)
        sizes = Sizes(self.anchors, self.negatives, self.prototype_voxels, self.temperature)
        return {
            "supervised_a": self.context.supervised(a[:count], labels),
            "supervised_b": self.context.supervised(b[:count], labels),
            "cross": self._cross(a[count:], b[count:]),
            "hqcl": class_contrast([view_a, view_b], labels, self.context.classes, sizes),
            "dvcl": self._neighbours([pool_a, pool_b]),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight lambda_u r(t), lambda_c and lambda_c beta."""
        contrast = self.lambda_c
        return {"cross": self.weight * time.ramp, "hqcl": contrast, "dvcl": contrast * self.beta}

    def _cross(self, a: Tensor, b: Tensor) -> Tensor:
        """Cross term of unlabelled logits ``[u k z y x]``; each target's voxels are weighted by certainty if wanted."""
        if not self.cps_entropy_weight:
            return cross_supervision(a, b)
        certainty_a, certainty_b = (
            1 - entropy(logits.detach().float().softmax(1)) / log(self.context.classes) for logits in (a, b)
        )
        return masked_cross_entropy(a, b.argmax(1), certainty_b) + masked_cross_entropy(b, a.argmax(1), certainty_a)

    def _view_and_pool(self, feature: Tensor, logits: Tensor, head: PointwiseHead, labels: Tensor) -> tuple[View, Pool]:
        """One network's voxels with known classes, and its unreliable voxels, with gradients in their probabilities.

        feature: decoder maps of all rows; logits: of the unlabelled rows.
        """
        unreliable = above_mean(entropy(logits.detach().float().softmax(1)), self.alpha)
        pseudo = torch.where(unreliable, self.context.classes, logits.argmax(1))
        places_by_class, exists_by_class = voxels.draw(unreliable.long(), 2, self.pool)
        places, exists = places_by_class[1], exists_by_class[1]
        probabilities = voxels.gather(logits, places).float().softmax(1)
        with torch.no_grad():
            vectors = F.normalize(voxels.vectors(head, feature[len(labels) :], places), dim=1)
        ranked_by = vectors if self.rank_space == "features" else probabilities.detach()
        return View(feature, head, torch.cat([labels, pseudo])), Pool(probabilities, ranked_by, exists)

    def _neighbours(self, pools: list[Pool]) -> Tensor:
        """Mean over the networks; the queries are the first voxels of each pool and are compared with both pools."""
        joined = join(pools)
        first = torch.arange(min(self.queries, self.pool), device=joined.exists.device)
        losses = [
            neighbour_loss(joined, queries, self.neighbours, self.outsiders, self.one_sided_affinity)
            for queries in (first, first + self.pool)
        ]
        mean = torch.stack(losses).mean()
        return mean / self.neighbours if self.dvcl_norm == "neighbours" else mean
