"""CCL: contrastive complementary labelling (Deng et al., Neural Networks 2024, arXiv 2212.06643), carried to voxels.

FixMatch whose unsure samples are of use: what they least resemble gives them reliable negatives in a contrast with the
labelled and the confident samples. Follows qinyideng/ccl: models/ccl_fixmatch/ccl_fixmatch.py, where the contrast is a
mean over columns, not over positives. Departure from the code: a sample that is compared with none adds 0, where the
code gives up the contrast of the whole step (NaN put to 0).
Ours (unverified), as the official task is image classification: a sample is a voxel, its feature the last decoder map
after dropout; views are those of ``perturbations.strong``; a few labelled voxels per class and a few confident and
unsure positions are drawn for the contrast, as many in every step; L_sup is the protocol's (CE and Dice).
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks import ema, voxels
from semiseg.blocks.losses import confident, masked_cross_entropy
from semiseg.blocks.perturbations import strong
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import ccl_contrast as complementary
from semiseg.network import Backbone

CODE = "qinyideng/ccl: ccl_fixmatch.py"
OURS = "ours: carried from images to voxels"


class CCL(Method):
    """L = L_sup + L_fixmatch + w L_contrast."""

    networks = {"network": "default"}
    teachers = {"teacher": "network"}
    inference_networks = ("teacher",)
    network: Backbone
    teacher: nn.Module

    weight = Hyper(1.0, "weight w of the contrast", f"{CODE} total_loss")
    cutoff = Hyper(0.95, "least probability of a confident sample", f"{CODE} --p_cutoff")
    complementary_share = Hyper(0.7, "share of the classes that are complementary labels", "paper: k = 0.7")
    temperature = Hyper(0.07, "temperature of the contrast", f"{CODE} --temperature")
    dimension = Hyper(64, "channels of a projection", "qinyideng/ccl: models/nets/wideresnet.py")
    labelled_samples = Hyper(64, "voxels per class from labelled crops", OURS)
    unlabelled_samples = Hyper(512, "confident positions, and as many unsure ones, each in two views", OURS)
    ema_decay = Hyper(0.999, "share that the averaged network keeps", "qinyideng/ccl: --ema_m")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if not 0 <= self.complementary_share <= 1:
            raise UserError(f"CCL.complementary_share must lie between 0 and 1; found {self.complementary_share}")
        self.teacher.load_state_dict(self.network.state_dict())
        width, size = self.network.widths[0], self.dimension
        layers = (nn.Linear(width, size), nn.Linear(size, size))
        self.projection = nn.Sequential(layers[0], nn.LeakyReLU(0.1), layers[1])
        for layer in layers:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised term, FixMatch term, contrast; labelled, weak and strong rows go through the network together."""
        count, rows = len(batch.images), len(batch.everything)
        feature = self.network.features(torch.cat([batch.everything, strong(batch.unlabelled)]))[-1]
        labelled, weak, hard = self.network.head(feature).tensor_split([count, rows])
        pseudo, sure = confident(weak, self.cutoff)
        return {
            "supervised": self.context.supervised(labelled, batch.labels),
            "fixmatch": masked_cross_entropy(hard, pseudo, sure),
            "contrast": self._contrast(feature.tensor_split([count, rows]), batch.labels, weak.detach(), pseudo, sure),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The constant weight w."""
        return {"contrast": self.weight}

    def after_step(self, time: TrainingTime) -> None:
        """Average the network that predicts."""
        ema.follow(self.teacher, self.network, self.ema_decay)

    def _contrast(
        self, features: tuple[Tensor, ...], labels: Tensor, weak: Tensor, pseudo: Tensor, sure: Tensor
    ) -> Tensor:
        """Contrast of drawn voxels; weak and strong views at the same positions."""
        known, valid_known = voxels.draw(labels, self.context.classes, self.labelled_samples)
        drawn, valid_drawn = voxels.draw(sure.long(), 2, self.unlabelled_samples)
        known, drawn = known.flatten(), drawn.flatten()
        places = (known, drawn, drawn)
        points = torch.cat([voxels.gather(*pair) for pair in zip(features, places, strict=True)])
        valid = torch.cat([each.flatten() for each in (valid_known, valid_drawn, valid_drawn)])
        unlike = complementary.complementary_labels(voxels.gather(weak, drawn), self.complementary_share)
        given = (labels.flatten()[known], pseudo.flatten()[drawn], sure.flatten()[drawn])
        vectors = F.normalize(self.projection(points).float(), dim=1)
        return complementary.contrast(vectors, complementary.pairs(*given, unlike, valid), valid, self.temperature)
