"""Deep adversarial network (Zhang et al., MICCAI 2017) for 3D segmentation.

A discriminator receives image and probabilities and separates labelled crops from unlabelled ones; the network is
trained so that its predictions on unlabelled crops are classified as labelled.
Follows HiLab-git/SSL4MIS: code/train_adversarial_network_3D.py, because the authors' code was not found: the weight has
a ramp, where the paper switches the term on late (unverified).
Departures from that code: the discriminator averages over the whole crop, where a window of 6x6x6 voxels fits crops of
96x96x96 alone. The targets follow the numbers of labelled and unlabelled rows, where the code writes 1, 1, 0, 0.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from semiseg.blocks import adversary
from semiseg.blocks.modes import evaluation_mode
from semiseg.method import Adam, Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.networks.heads.discriminator import Discriminator


class DAN(Method):
    """L = L_sup + w r(t) L_adv; the discriminator's own loss is L_D."""

    networks = {"network": "default"}
    inference_networks = ("network",)
    network: nn.Module

    weight = Hyper(0.1, "weight w of the adversarial term, times the ramp", "HiLab-git/SSL4MIS: --consistency")
    discriminator_lr = Hyper(
        1e-4,
        "constant Adam rate of the discriminator",
        "HiLab-git/SSL4MIS: code/train_adversarial_network_3D.py --DAN_lr",
    )

    lag = Hyper(
        1,
        "steps by which the learning rate is late where the protocol counts iterations",
        "HiLab-git/SSL4MIS: code/train_adversarial_network_3D.py sets the rate after the step",
        (0, 1),
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.discriminator = Discriminator(context.classes)

    @property
    def rate_lag(self) -> int:
        """The hyperparameter ``lag``."""
        return self.lag

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss on the labelled rows, adversarial loss on the unlabelled ones."""
        labelled, unlabelled = self.network(batch.everything).tensor_split([len(batch.images)])
        return {
            "supervised": self.context.supervised(labelled, batch.labels),
            "adversarial": adversary.adversarial_loss(
                self.discriminator, unlabelled.float().softmax(1), batch.unlabelled
            ),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t)."""
        return {"adversarial": self.weight * time.ramp}

    def adversaries(self) -> Mapping[str, Adam]:
        """The discriminator."""
        return {"discriminator": adversary.optimiser(self.discriminator_lr)}

    def adversary_losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """L_D on the predictions of the updated network without dropout."""
        images = batch.everything
        with evaluation_mode(self.network), torch.no_grad():
            probabilities = self.network(images).float().softmax(1)
        count = len(batch.images)
        return {"discriminator": adversary.discriminator_loss(self.discriminator, probabilities, images, count)}
