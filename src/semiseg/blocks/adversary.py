"""Training against a discriminator that separates predictions on labelled crops from those on unlabelled crops.

Source: HiLab-git/SSL4MIS: code/train_adversarial_network_3D.py and kleinzcy/SASSnet: code/train_gan_sdfloss.py. The
side that is not being trained is in evaluation mode: the discriminator in the networks' loss, the networks in the other
one.
"""

import torch
from torch import Tensor, nn

from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.modes import evaluation_mode
from semiseg.method import Adam

LABELLED = 1  # the discriminator's class for predictions on labelled crops; 0 is that on unlabelled crops


def optimiser(rate: float) -> Adam:
    """Adam for a discriminator, with the betas of both official scripts."""
    return Adam(rate, (0.9, 0.99))


def adversarial_loss(discriminator: nn.Module, maps: Tensor, images: Tensor) -> Tensor:
    """The networks' loss: CE of maps ``[u k z y x]`` of unlabelled images ``[u c z y x]`` against LABELLED."""
    with evaluation_mode(discriminator):
        logits = discriminator(maps, images)
    return cross_entropy(logits, torch.full(logits.shape[:1], LABELLED, device=logits.device))


def discriminator_loss(discriminator: nn.Module, maps: Tensor, images: Tensor, labelled: int) -> Tensor:
    """The discriminator's loss: CE of the first ``labelled`` rows against 1, of the other rows against 0."""
    logits = discriminator(maps, images)
    rows = torch.arange(len(logits), device=logits.device)
    return cross_entropy(logits, torch.where(rows < labelled, LABELLED, 1 - LABELLED))
