"""Losses of sdc_ssl: masks from distances, deep supervision, boundary, and reconstruction of shapes.

Source: SUST-reynole/SDC-SSL: code/train_LA.py, utils/losses2.py and networks/autoencoder.py. Masks and distances are
``[b o z y x]`` with o organs; for one organ the formulas are those of the source.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from semiseg.blocks.distance import signed_distance
from semiseg.blocks.losses import cross_entropy, one_hot
from semiseg.methods.parts.sdc_ssl_networks import with_background

STEEPNESS = 1500
SCALES = (0.2, 0.4, 0.6, 0.8)  # weights of the side heads, the deepest one first


def mask_of(distances: Tensor) -> Tensor:
    """sigmoid(-1500 s): a mask of signed distances s, 1 inside the organ."""
    return torch.sigmoid(-STEEPNESS * distances.float())


@torch.no_grad()
def pseudo_distance(mask: Tensor) -> Tensor:
    """Signed distance of the voxels whose mask is exactly 1 in float32: the source turns masks into whole numbers."""
    inside = (mask >= 1).long()
    return signed_distance(inside.flatten(0, 1), 2).view_as(mask)


def boundary(mask: Tensor, distances: Tensor) -> Tensor:
    """Mean of p D, p the mask of one network and D the distance from the other: negative where p lies inside."""
    return (mask * distances).mean()


def side_dice(sides: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Weighted sum over the side heads of 1 - 2 S(hy) / (S(h) + S(y) + 1e-7), h the rounded probability.

    It has no gradient. sides: logits ``[b o z y x]`` of each; labels ``[b z y x]``.
    """
    truth = one_hot(labels, sides[0].shape[1] + 1)[:, 1:]
    losses = []
    for logits in sides:
        hard = with_background(logits.detach()).softmax(1)[:, 1:].round()
        losses.append(1 - 2 * (hard * truth).sum() / (hard.sum() + truth.sum() + 1e-7))
    return _weighted(losses)


def side_entropy(sides: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Weighted sum over the side heads of their cross-entropy."""
    return _weighted([cross_entropy(with_background(logits), labels) for logits in sides])


def _weighted(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack([weight * loss for weight, loss in zip(SCALES, losses, strict=True)]).sum()


def reconstruction(found: Tensor, masks: Tensor) -> Tensor:
    """1 - (2 S(xy) / (S(x^2) + S(y^2) + 1e-6)) / 3; it is 2/3 where the masks are found again."""
    overlap, sizes = (found * masks).sum(), found.square().sum() + masks.square().sum()
    return 1 - 2 * overlap / (sizes + 1e-6) / 3


def falling(epoch: int, epochs: int) -> float:
    """Factor of the autoencoder's rate: 1 in the first half of the epochs, then on a line to 0."""
    half = epochs // 2
    return 1 - max(0, epoch - half) / (epochs - half)
