"""RCPS: rectified contrastive pseudo supervision (Zhao et al., IEEE JBHI 2024, arXiv 2301.05500).

A network sees each crop as it is and in two views of changed intensities. The plain prediction supervises those of the
views at four scales, less where they differ much, on labelled and unlabelled crops alike. The views must agree. Vectors
of the same voxel in both views are pulled together, away from confident vectors of other classes in the other crops:
labelled crops have the unlabelled ones as negatives, and the other way round.
Follows hsiangyuzhao/RCPS: models/segmentation_models.py. Its network is its own, whatever the protocol's is, and so is
its supervised loss. All six forms of the crops pass in one batch, with common statistics.
In the code noise is always added after its first success, and in half of the views it is the noise made last
(``sticky_noise``, with one noise for all crops of a view); the default makes fresh noise in half of the views.
Departures: negatives are chosen once per class, not per voxel, which is the same choice.
Ours (unverified): more than two classes. The code also has Gaussian weights of windows and random grid distortion, and
repeats the labelled crops in an epoch; no protocol has these yet.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.method import Batch, Context, Hyper, Method, Net, Terms, TrainingTime
from semiseg.methods.parts import rcps_losses
from semiseg.methods.parts.rcps_views import changed, strengths
from semiseg.networks.resunet import ResUNet

CODE = "hsiangyuzhao/RCPS: models/segmentation_models.py"
CONFIG = "hsiangyuzhao/RCPS: configs"
FORMS = 3  # of a crop: plain, and two views


class RCPS(Method):
    """L = L_sup + w_con r(t) (L_con,l + L_con,u) + w r(t) (L_ps,l + L_ps,u + L_cos,l + L_cos,u).

    L_sup, L_ps and L_cos are sums over the four scales. L_ps is ``rectified`` of each view against the plain prediction
    at full size, L_cos the cosine distance of the views' logits.
    """

    networks = {"network": Net("default", ResUNet)}
    inference_networks = ("network",)
    network: ResUNet
    noise: Tensor
    class_weights: Tensor

    weight = Hyper(
        0.1, "weight w of pseudo labels and cosine, times the ramp", f"{CONFIG}: CPS_RATIO 0.1; pancreas 0.2"
    )
    contrast_weight = Hyper(0.1, "weight w_con of the contrast, times the protocol's ramp", f"{CONFIG}: CON_RATIO")
    negatives = Hyper(400, "negatives of a voxel", f"{CONFIG}: K")
    contrast_temperature = Hyper(0.1, "temperature of the contrast", f"{CONFIG}: tau_con")
    temperature = Hyper(0.5, "temperature of the pseudo labels", f"{CODE} uncertainty_loss")
    background_weight = Hyper(1.0, "weight of the background in the supervised cross-entropy", f"{CODE} criterion")
    organ_weight = Hyper(10.0, "weight of an organ in the supervised cross-entropy", f"{CODE} criterion")
    sticky_noise = Hyper(False, "whether the noise made last is added where none is drawn", f"{CODE}: true, by mistake")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        width = self.network.widths[2]
        self.projector = nn.Sequential(nn.Conv3d(width, width, 1), nn.PReLU(), nn.Conv3d(width, width, 1))
        weights = torch.full((context.classes,), self.organ_weight)
        weights[0] = self.background_weight
        self.register_buffer("class_weights", weights)
        self.register_buffer("noise", torch.zeros(1, 1, *context.patch) if self.sticky_noise else torch.zeros(0))

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss, pseudo supervision, contrast and cosine of labelled and of unlabelled crops."""
        views = self.views(batch.images, batch.unlabelled)
        images = torch.cat([batch.images, *views[:2], batch.unlabelled, *views[2:]])
        decoded = self.network.features(images)
        sizes = [len(batch.images)] * FORMS + [len(batch.unlabelled)] * FORMS
        scales = [torch.split(logits, sizes) for logits in self.network.scales(decoded, images.shape[2:])]
        vectors = self.projector(decoded[1])
        small = [F.interpolate(each, vectors.shape[2:], mode="trilinear", align_corners=False) for each in scales[0]]
        parts = torch.split(vectors, sizes)
        labelled, unlabelled = (0, 1, 2), (3, 4, 5)
        known = [rcps_losses.supervised(logits[0], batch.labels, self.class_weights) for logits in scales]
        return {
            "supervised": torch.stack(known).sum(),
            "pseudo_labelled": self.pseudo(scales, *labelled),
            "pseudo_unlabelled": self.pseudo(scales, *unlabelled),
            "contrast_labelled": self.contrast(parts, small, labelled, 3),
            "contrast_unlabelled": self.contrast(parts, small, unlabelled, 0),
            "cosine_labelled": self.cosine(scales, 1, 2),
            "cosine_unlabelled": self.cosine(scales, 4, 5),
        }

    def views(self, labelled: Tensor, unlabelled: Tensor) -> list[Tensor]:
        """Two views of the labelled and two of the unlabelled images, each of their shape ``[b c z y x]``."""
        images, found = (labelled, labelled, unlabelled, unlabelled), []
        drawn = strengths(len(images), labelled.device)
        for image, gain, shift, noisy, deviation in zip(images, *drawn, strict=True):
            noise = deviation * torch.randn_like(image[:1] if self.sticky_noise else image)
            last = self.noise if self.sticky_noise else torch.zeros_like(noise)
            added = torch.where(noisy.bool(), noise, last)
            if self.sticky_noise:
                self.noise = added
            found.append(changed(image, gain, shift) + added)
        return found

    def pseudo(self, scales: list[tuple[Tensor, ...]], plain: int, first: int, second: int) -> Tensor:
        """L_ps of two views, from the forms' logits at each scale."""
        terms = [
            rcps_losses.rectified(logits[view], scales[0][plain], self.temperature)
            for logits in scales
            for view in (first, second)
        ]
        return torch.stack(terms).sum()

    def contrast(
        self, vectors: tuple[Tensor, ...], small: list[Tensor], own: tuple[int, int, int], other: int
    ) -> Tensor:
        """L_con of two views, with the plain form ``other`` as negatives; ``small``: logits of the vectors' size."""
        plain, first, second = own
        sizes = self.negatives, self.contrast_temperature
        return rcps_losses.contrast(vectors[first], vectors[second], vectors[other], small[plain], small[other], *sizes)

    def cosine(self, scales: list[tuple[Tensor, ...]], first: int, second: int) -> Tensor:
        """L_cos of two views."""
        return torch.stack([rcps_losses.cosine(logits[first], logits[second]) for logits in scales]).sum()

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weights w r(t) and w_con r(t)."""
        pseudo, contrast = self.weight * time.ramp, self.contrast_weight * time.ramp
        kinds = {"pseudo": pseudo, "contrast": contrast, "cosine": pseudo}
        return {f"{kind}_{rows}": value for kind, value in kinds.items() for rows in ("labelled", "unlabelled")}
