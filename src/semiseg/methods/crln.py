"""Cooperative rectification learning (Wang et al., MedIA 2025): prototypes of the classes correct pseudo labels.

A moving average of the network gives pseudo labels of weak views, from which the network learns on strong views. R
learned prototypes of each class attend to two decoder maps and give a map M of every class. From epoch S + 1 on,
(1 - mu) M is added to the teacher's logits for pseudo labels; at inference it always is. The number mu is trained
apart, on the labelled crops, after each step. A contrast pulls the representations of voxels that are not certain to a
mixture of the mean of their class and its prototypes.
Follows Yaan-Wang/CRLN: VnetLA/train_semisup.py: representations have R channels, so a prototype contributes its mean
over features; a crop's pseudo-label loss has the share of its certain voxels as weight, where the paper masks voxels;
the weights of the terms are 0.5 and not ramped.
Departure: class ids choose prototypes, where the code counts the classes present.
Ours (unverified): other switches than the defaults, for MedIA 2025, Tables 5 to 7, which have no code; more than two
classes.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.intensity import brightened
from semiseg.method import Batch, Context, Hyper, Terms, TrainingTime
from semiseg.methods.parts.crln_contrast import contrast
from semiseg.methods.parts.crln_network import Outputs
from semiseg.methods.parts.crln_rectified import Rectified
from semiseg.methods.parts.crln_strong_view import IGNORED, View, draw_changes, strong_view

CODE = "Yaan-Wang/CRLN: VnetLA/train_semisup.py"
PAPER = "MedIA 2025"


def share_weighted(logits: Tensor, labels: Tensor, confidence: Tensor, threshold: float) -> Tensor:
    """Mean of w_b CE over the voxels whose CE is above 0; w_b: share of the voxels of crop b with this confidence.

    logits: ``[u k z y x]``; labels: ``[u z y x]``, -1 for voxels that count neither in the share's denominator nor in
    the mean; confidence: ``[u z y x]``.
    """
    losses = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="none").flatten(1)
    certain, known = (each.flatten(1).sum(1) for each in (confidence >= threshold, labels != IGNORED))
    weighted = (certain / known.clamp(min=1)).unsqueeze(1) * losses
    return weighted.sum() / (losses > 0).sum().clamp(min=1)


class CRLN(Rectified):
    """L = L_sup(p) + L_sup(M) + w_u L_pseudo + w_c L_contrast; mu by descent on L_sup(p + (1 - mu) M)."""

    pseudo_weight = Hyper(0.5, "weight w_u of the pseudo-label term", f"{CODE}; {PAPER}, Eq. 15: 1")
    contrast_weight = Hyper(0.5, "weight w_c of the contrast", f"{CODE}; 1 on Pancreas with 6 labels")
    xi = Hyper(0.6, "part xi of the prototypes b in a positive (m + xi b) / (1 + xi)", f"{CODE}: LA with 8 labels")
    valid = Hyper(0.7, "confidence from which a pseudo label enters the contrast", f"{CODE} weak_threshold")
    temperature = Hyper(0.5, "temperature of the contrast", CODE)
    anchors = Hyper(256, "anchors of a class in a step", f"{CODE} num_queries")
    negatives = Hyper(512, "negatives of an anchor", f"{CODE} num_negatives")
    cutmix = Hyper(True, "whether strong views have boxes of other crops", f"{CODE}; {PAPER}, Table 5")
    augment = Hyper(True, "whether they have brightness, noise, turns and flips", f"{CODE}; {PAPER}, Table 5")
    positive = Hyper(
        "both",
        "positive of the contrast after S: class mean and prototypes, one of them, or no contrast at all",
        f"{CODE}; {PAPER}, Table 5",
        ("both", "mean", "prototypes", "none"),
    )

    def __init__(self, context: Context, **hyper: bool | int | float | str) -> None:
        super().__init__(context, **hyper)
        if not self.interaction and self.positive in ("both", "prototypes"):
            raise UserError("CRLN.interaction false leaves no prototypes: set positive to mean or none")

    @property
    def represents(self) -> bool:
        """Whether there is a contrast."""
        return self.positive != "none"

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised losses of prediction and map, the pseudo-label loss of strong views, then the contrast."""
        self.seen = batch = brightened(batch) if self.brightness else batch
        weak = self.pseudo_labels(batch.unlabelled, time)
        strong = strong_view(weak, draw_changes(weak.images), cutmix=self.cutmix, augment=self.augment)
        known = self.student(batch.images, represent=True, interact=True)
        others = self.student(strong.images, represent=True, interact=False)
        terms = {"supervised": self.context.supervised(known.logits, batch.labels)}
        if self.interaction:
            terms["map"] = self.context.supervised(known.map, batch.labels)
        terms["pseudo"] = share_weighted(others.logits, strong.labels, strong.confidence, self.certain)
        if self.represents:
            terms["contrast"] = self._contrast(batch.labels, strong, (known, others), time)
        return terms

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """w_u and w_c."""
        return {"pseudo": self.pseudo_weight} | ({"contrast": self.contrast_weight} if self.represents else {})

    def positives(self, means: Tensor, time: TrainingTime) -> Tensor:
        """Positives ``[k r]`` from the mean representation ``[k r]`` of each class."""
        interaction = self.predictor.teacher.interaction
        if interaction is None or self.positive == "mean" or not self.is_corrected(time):
            return means
        learned = interaction.prototypes[0].mean(2)
        return learned if self.positive == "prototypes" else (means + self.xi * learned) / (1 + self.xi)

    def _contrast(self, labels: Tensor, strong: View, views: tuple[Outputs, Outputs], time: TrainingTime) -> Tensor:
        """The contrast of all rows; voxels of strong views enter it where the teacher is confident."""
        unsure = torch.where(strong.confidence >= self.valid, strong.labels, self.context.classes)
        return contrast(
            torch.cat([view.representation for view in views if view.representation is not None]),
            torch.cat([labels, unsure]),
            torch.cat([view.logits for view in views]).detach().float().softmax(1),
            lambda means: self.positives(means, time),
            threshold=self.certain,
            temperature=self.temperature,
            anchors=self.anchors,
            negatives=self.negatives,
        )
