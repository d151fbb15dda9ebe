"""Shape-aware semi-supervised segmentation (Li, Zhang, He, MICCAI 2020, arXiv 2007.10732).

A second head regresses the signed distance to the organ's surface. A discriminator receives image and distances and
separates labelled crops from unlabelled ones, so that unlabelled predictions take on labelled shapes.
Follows kleinzcy/SASSnet: code/train_gan_sdfloss.py: distances are positive OUTSIDE; the cross-entropy is logged there
but not used.
Departures from the code: the discriminator averages over the whole crop, as the official windows do on theirs. Targets
follow the numbers of labelled and unlabelled rows.
Ours: the form for many classes (``semiseg.methods.parts.two_heads``); the discriminator receives one distance per
organ.
"""

from collections.abc import Mapping
from typing import Any

import torch

from semiseg.blocks import adversary
from semiseg.blocks.modes import evaluation_mode
from semiseg.method import Adam, Batch, Context, Hyper, Terms, TrainingTime
from semiseg.methods.parts.two_heads import TwoHeads
from semiseg.networks.heads.discriminator import Discriminator


class SASSNet(TwoHeads):
    """L = L_sup + beta L_sdf + w r(t) L_adv; the discriminator's own loss is L_D."""

    weight = Hyper(
        0.01,
        "weight w of the adversarial term, times the ramp",
        "kleinzcy/SASSnet: code/train_gan_sdfloss.py --consistency; its README: 0.015 for 8 labelled cases of LA",
    )
    beta = Hyper(0.3, "weight of the distance regression", "kleinzcy/SASSnet: code/train_gan_sdfloss.py --beta")
    discriminator_lr = Hyper(
        1e-4, "constant Adam rate of the discriminator", "kleinzcy/SASSnet: code/train_gan_sdfloss.py --D_lr"
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.discriminator = Discriminator(context.classes - 1)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss and distance error on the labelled rows, adversarial loss on the unlabelled ones."""
        terms, _, distances = self.supervised_terms(batch)
        adversarial = adversary.adversarial_loss(self.discriminator, distances[len(batch.images) :], batch.unlabelled)
        return {**terms, "adversarial": adversarial}

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """beta, and the ramped weight w r(t)."""
        return {"distance": self.beta, "adversarial": self.weight * time.ramp}

    def adversaries(self) -> Mapping[str, Adam]:
        """The discriminator."""
        return {"discriminator": adversary.optimiser(self.discriminator_lr)}

    def adversary_losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """L_D on the distances of the updated network without dropout."""
        images = batch.everything
        with evaluation_mode(self.network), torch.no_grad():
            _, distances = self.forward(images)
        return {"discriminator": adversary.discriminator_loss(self.discriminator, distances, images, len(batch.images))}
