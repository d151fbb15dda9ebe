"""Training against a discriminator that tells predictions on labelled crops from those on unlabelled ones.

Source: HiLab-git/SSL4MIS: code/train_adversarial_network_3D.py and kleinzcy/SASSnet: code/train_gan_sdfloss.py. Whoever
is not being trained rests in evaluation mode: the discriminator in the networks' loss, the networks in the other one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from semiseg.blocks.losses import cross_entropy
from semiseg.method import Adam

LABELLED = 1  # the discriminator's class of predictions on labelled crops; 0: on unlabelled ones


@contextmanager
def resting(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block: no dropout, stored normalisation statistics; then the mode from before."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def optimiser(rate: float) -> Adam:
    """Adam of a discriminator, with the betas of both official scripts."""
    return Adam(rate, (0.9, 0.99))


def deceive(discriminator: nn.Module, maps: Tensor, images: Tensor) -> Tensor:
    """The networks' part: cross-entropy against 1 of maps ``[u k z y x]`` of unlabelled images ``[u c z y x]``."""
    with resting(discriminator):
        logits = discriminator(maps, images)
    return cross_entropy(logits, torch.full(logits.shape[:1], LABELLED, device=logits.device))


def tell_apart(discriminator: nn.Module, maps: Tensor, images: Tensor, labelled: int) -> Tensor:
    """The discriminator's part: cross-entropy of the first ``labelled`` rows against 1, of the others against 0."""
    logits = discriminator(maps, images)
    rows = torch.arange(len(logits), device=logits.device)
    return cross_entropy(logits, torch.where(rows < labelled, LABELLED, 1 - LABELLED))
