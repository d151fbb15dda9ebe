"""DVCL: distance-aware voxel-wise contrastive learning (Zhao et al., "Keep Your Friends Close, and Your Enemies
Farther", ICCV 2025).

Two networks supervise each other (CPS). Voxels are split by the entropy of their prediction: labelled and reliable ones
are contrasted class by class (HqCL), unreliable ones are pulled to their nearest neighbours and pushed from distant
voxels, whatever their pseudo labels (DVCL). No official code could be found: this is built from the supplement.
The supplement gives: two 3D U-Nets with feature heads of V channels, no averaged network; the order of the steps; an
entropy split with alpha; the sets of HqCL and its M, N and temperature; the loss of DVCL (appendix G), K and K';
L_contra = HqCL + beta DVCL; beta and lambda_c.
Ours (unverified): kaiming and xavier weights, L_sup, lambda_u and its ramp as in guidednet; plain CE in the cross term,
on unlabelled rows; the head, pointwise on the last decoder map after dropout; tau = mean + alpha SD of each item's
entropy; the formulas of HqCL (after U2PL: class mean as positive, labelled voxels of other classes as negatives); no
gradient into positives, negatives, neighbours and outsiders; the constant of the bound left out, its sums over K;
the pool of both networks' unreliable voxels drawn down to ``pool`` each; ``queries`` per network; ranking by the cosine
of feature vectors; outlying queries left out (QDS) and neighbours weighted (NPS) by the rules in ``neighbours.py``; one
network predicts, the better one on validation.
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
from semiseg.methods.parts.dvcl_neighbours import Pool, neighbour_loss
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
    alpha = Hyper(0.5, "SDs above the mean entropy at which voxels become unreliable", PAPER)
    neighbours = Hyper(10, "nearest neighbours K of a query", "DVCL, supplement, Table 5")
    outsiders = Hyper(15, "most distant voxels K' of a query", "DVCL, supplement, Table 5")
    temperature = Hyper(1.0, "temperature of HqCL", PAPER)
    anchors = Hyper(256, "anchors M per class and network", PAPER)
    negatives = Hyper(50, "negatives N per anchor", PAPER)
    feature_channels = Hyper(256, "channels V of a feature vector", PAPER)
    prototype_voxels = Hyper(2048, "most voxels of a class that make its prototype", OURS)
    pool = Hyper(4096, "most unreliable voxels per network and step", OURS)
    queries = Hyper(256, "queries M' per network", OURS)
    doubt = Hyper(0.1, "affinity of a neighbour that is not mutual", "ours: after Yang et al., NeurIPS 2021")
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
        maps = [network.features(images)[-1] for network in (self.a, self.b)]
        a, b = self.a.head(maps[0]), self.b.head(maps[1])
        views, pools = [], []
        for feature, logits, head in zip(maps, (a[count:], b[count:]), (self.head_a, self.head_b), strict=True):
            uncertain = above_mean(entropy(logits.detach().float().softmax(1)), self.alpha)
            guess = torch.where(uncertain, self.context.classes, logits.argmax(1))
            views.append(View(feature, head, torch.cat([labels, guess])))
            pools.append(self._pool(View(feature[count:], head, guess), logits, uncertain))
        sizes = Sizes(self.anchors, self.negatives, self.prototype_voxels, self.temperature)
        return {
            "supervised_a": self.context.supervised(a[:count], labels),
            "supervised_b": self.context.supervised(b[:count], labels),
            "cross": self._cross(a[count:], b[count:]),
            "hqcl": class_contrast(views, labels, self.context.classes, sizes),
            "dvcl": self._neighbours(pools),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight lambda_u r(t), lambda_c and lambda_c beta."""
        contrast = self.lambda_c
        return {"cross": self.weight * time.ramp, "hqcl": contrast, "dvcl": contrast * self.beta}

    def _cross(self, a: Tensor, b: Tensor) -> Tensor:
        if not self.cps_entropy_weight:
            return cross_supervision(a, b)
        sure = [1 - entropy(each.detach().float().softmax(1)) / log(self.context.classes) for each in (a, b)]
        return masked_cross_entropy(a, b.argmax(1), sure[1]) + masked_cross_entropy(b, a.argmax(1), sure[0])

    def _pool(self, view: View, logits: Tensor, uncertain: Tensor) -> Pool:
        """Unreliable voxels of one network in random order, with gradients in their probabilities."""
        places, exists = (drawn[1] for drawn in voxels.draw(uncertain.long(), 2, self.pool))
        probabilities = voxels.gather(logits, places).float().softmax(1)
        with torch.no_grad():
            vectors = F.normalize(view.vectors(places), dim=1)
        return Pool(probabilities, vectors if self.rank_space == "features" else probabilities.detach(), exists)

    def _neighbours(self, pools: list[Pool]) -> Tensor:
        """Mean over the networks: queries are the first voxels of each one's pool, compared with those of both."""
        joined = Pool(*(torch.cat(parts) for parts in zip(*pools, strict=True)))
        own = torch.arange(min(self.queries, self.pool), device=joined.exists.device)
        numbers = (self.neighbours, self.outsiders, self.doubt)
        mean = torch.stack([neighbour_loss(joined, own + first, *numbers) for first in (0, self.pool)]).mean()
        return mean / self.neighbours if self.dvcl_norm == "neighbours" else mean
