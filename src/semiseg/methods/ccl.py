"""CCL: contrastive complementary labelling (Deng et al., Neural Networks 2024, arXiv 2212.06643), carried to voxels.

FixMatch that also uses samples whose pseudo label is not confident: the classes that such a sample resembles least are
its complementary labels, and they give it reliable negatives in a contrast with labelled and confident samples. Follows
qinyideng/ccl: models/ccl_fixmatch/ccl_fixmatch.py, where the contrast is a mean over columns, not over positives.
Departure from the code: a sample that is compared with none adds 0; the code sets the contrast of the whole step to 0
if it is NaN.
Ours (unverified), because the official task is image classification: a sample is a voxel, and its feature is the last
decoder map after dropout. Strong views are those of ``perturbations.strong``. Each step samples the same numbers of
labelled voxels per class, of confident positions and of other positions. L_sup is the protocol's (CE and Dice).
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks import ema, voxels
from semiseg.blocks.losses import confident_labels, masked_cross_entropy
from semiseg.blocks.perturbations import strong
from semiseg.method import Batch, Context, Hyper, Terms, TrainingTime
from semiseg.methods.parts import ccl_contrast
from semiseg.methods.parts.averaged_network import AveragedNetwork

CODE = "qinyideng/ccl: ccl_fixmatch.py"
OURS = "ours: carried from images to voxels"


class CCL(AveragedNetwork):
    """L = L_sup + L_fixmatch + w L_contrast."""

    weight = Hyper(1.0, "weight w of the contrast", f"{CODE} total_loss")
    cutoff = Hyper(0.95, "least probability of a confident sample", f"{CODE} --p_cutoff")
    complementary_fraction = Hyper(0.7, "fraction of the classes that are complementary labels", "paper: k = 0.7")
    temperature = Hyper(0.07, "temperature of the contrast", f"{CODE} --temperature")
    dimension = Hyper(64, "channels of a projection", "qinyideng/ccl: models/nets/wideresnet.py")
    labelled_samples = Hyper(64, "voxels per class from labelled crops", OURS)
    unlabelled_samples = Hyper(512, "confident positions, and as many others, each in two views", OURS)
    ema_decay = Hyper(0.999, "weight of the averaged network's own past", "qinyideng/ccl: --ema_m")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if not 0 <= self.complementary_fraction <= 1:
            raise UserError(f"CCL.complementary_fraction must lie between 0 and 1; found {self.complementary_fraction}")
        width, size = self.network.widths[0], self.dimension
        layers = (nn.Linear(width, size), nn.Linear(size, size))
        self.projection = nn.Sequential(layers[0], nn.LeakyReLU(0.1), layers[1])
        for layer in layers:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised, FixMatch and contrast term; labelled, weak and strong rows share one forward pass."""
        images = torch.cat([batch.images, batch.unlabelled, strong(batch.unlabelled)])
        feature = self.network.features(images)[-1]
        parts = [len(batch.images), len(batch.unlabelled), len(batch.unlabelled)]
        labelled, weak, strong_view = self.network.head(feature).split(parts)
        pseudo, confident = confident_labels(weak, self.cutoff)
        return {
            "supervised": self.context.supervised(labelled, batch.labels),
            "fixmatch": masked_cross_entropy(strong_view, pseudo, confident),
            "contrast": self._contrast(torch.split(feature, parts), batch.labels, weak.detach(), pseudo, confident),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The constant weight w."""
        return {"contrast": self.weight}

    def after_step(self, time: TrainingTime) -> None:
        """Update the averaged network, which predicts."""
        ema.update_with_buffers(self.teacher, self.network, self.ema_decay)

    def _contrast(
        self, features: tuple[Tensor, ...], labels: Tensor, weak: Tensor, pseudo: Tensor, confident: Tensor
    ) -> Tensor:
        """Contrast of sampled voxels: labelled ones, then weak and strong views of the same unlabelled positions."""
        labelled, labelled_valid = voxels.draw(labels, self.context.classes, self.labelled_samples)
        unlabelled, unlabelled_valid = voxels.draw(confident.long(), 2, self.unlabelled_samples)
        labelled, unlabelled = labelled.flatten(), unlabelled.flatten()
        known, first_view, second_view = features
        points = torch.cat(
            [
                voxels.gather(known, labelled),
                voxels.gather(first_view, unlabelled),
                voxels.gather(second_view, unlabelled),
            ]
        )
        valid = torch.cat([labelled_valid.flatten(), unlabelled_valid.flatten(), unlabelled_valid.flatten()])
        complementary = ccl_contrast.complementary_labels(voxels.gather(weak, unlabelled), self.complementary_fraction)
        pairs = ccl_contrast.pairs(
            labels.flatten()[labelled],
            pseudo.flatten()[unlabelled],
            confident.flatten()[unlabelled],
            complementary,
            valid,
        )
        vectors = F.normalize(self.projection(points).float(), dim=1)
        return ccl_contrast.contrast(vectors, pairs, valid, self.temperature)
