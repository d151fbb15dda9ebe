"""URPC: uncertainty rectified pyramid consistency (Luo et al., MICCAI 2021, arXiv 2012.07042).

The network gives its prediction at several scales. On unlabelled crops each scale must agree with the mean of all.
Where the divergence of a scale from the mean is large, the voxel counts less; the divergence itself is minimised.
Follows HiLab-git/SSL4MIS: code/train_uncertainty_rectified_pyramid_consistency_3D.py and xmed-lab/DHC:
code/train_urpc.py, which differ in the supervised loss alone (``supervised``). No gradient is stopped. The number S of
scales is that of the protocol's network; the codes have 4, as ``unet3d_ds`` and ``vnet_ds`` have.
Departure: logarithms are those of the log-softmax. The codes take the logarithm of the softmax, which is infinite where
a probability is 0.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from semiseg.blocks.losses import SUPERVISED_FORMS, supervised_form
from semiseg.method import Batch, Hyper, Method, Terms, TrainingTime
from semiseg.network import Backbone

CODE = "HiLab-git/SSL4MIS: code/train_uncertainty_rectified_pyramid_consistency_3D.py"


def divergences(scales: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Mean probabilities m ``[u k z y x]`` of all scales; KL(m || p_s) in nats, ``[u 1 z y x]``, of each scale.

    scales: logits ``[u k z y x]`` of each.
    """
    logarithms = [logits.float().log_softmax(1) for logits in scales]
    log_mean = torch.stack(logarithms).logsumexp(0) - math.log(len(scales))
    mean = log_mean.exp()
    return mean, [(mean * (log_mean - own)).sum(1, keepdim=True) for own in logarithms]


def rectified(logits: Tensor, mean: Tensor, divergence: Tensor) -> Tensor:
    """mean((m - p)^2 exp(-D)) / (mean(exp(-D)) + 1e-8) + mean(D) of one scale; the first mean is over classes too."""
    certainty, probabilities = (-divergence).exp(), logits.float().softmax(1)
    difference = ((mean - probabilities).square() * certainty).mean() / (certainty.mean() + 1e-8)
    return difference + divergence.mean()


def consistency(scales: Sequence[Tensor]) -> list[Tensor]:
    """``rectified`` of each scale, from its logits ``[u k z y x]``."""
    mean, distances = divergences(scales)
    return [rectified(logits, mean, distance) for logits, distance in zip(scales, distances, strict=True)]


class URPC(Method):
    """L = (1/S) S_s L_sup(z_s) + w r(t) (1/S) S_s [mean((m - p_s)^2 e^-D_s) / mean(e^-D_s) + mean(D_s)].

    D_s = KL(m || p_s), where m is the mean of the probabilities p_s of the S scales.
    """

    networks = {"network": "default"}
    inference_networks = ("network",)
    requires = ("several_scales",)
    network: Backbone

    weight = Hyper(0.1, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    supervised = Hyper(
        "protocol",
        "supervised loss of each scale: the protocol's, or one by name",
        f"{CODE}: its siblings' half_ce_dice_all; xmed-lab/DHC: code/train_urpc.py: half_ce_dice_organs",
        SUPERVISED_FORMS,
    )
    lag = Hyper(
        1, "steps by which the rate is late where the protocol counts iterations", f"{CODE}: set after the step", (0, 1)
    )

    @property
    def rate_lag(self) -> int:
        """The hyperparameter ``lag``."""
        return self.lag

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Mean supervised loss of the scales on the labelled rows, mean consistency on the unlabelled ones."""
        scales = self.network.outputs(batch.everything)
        known, others = zip(*(logits.tensor_split([len(batch.images)]) for logits in scales), strict=True)
        own = supervised_form(self.supervised, self.context.supervised)
        return {
            "supervised": torch.stack([own(logits, batch.labels) for logits in known]).mean(),
            "consistency": torch.stack(consistency(others)).mean(),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t)."""
        return {"consistency": self.weight * time.ramp}
