"""Balanced classifier and balanced contrast of BaCon (fqhank/AAAI24-BaCon-CISSL: semilearn/imb_algorithms/bacon).

Samples are rows of ``[n ...]`` or voxels of maps ``[b ... z y x]``; K classes, class axis 1. Losses are float32.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.losses import confident, masked_cross_entropy

NEGATIVE_TEMPERATURE = 0.1
NEGATIVE_FACTOR = 64  # how many negatives their mean stands for


def rarity(counts: Tensor) -> Tensor:
    """Count of the rarest class over that of each class, ``[k]`` in (0, 1].

    Ours: a class without samples has 1 and is not the rarest; officially every class has samples.
    """
    found = counts > 0
    rarest = torch.where(found, counts, torch.inf).min()
    return torch.where(found, rarest / counts.clamp(min=1), 1.0)


class Chances(NamedTuple):
    """Rule of the balanced draws: ``rarity`` ``[k]``, elapsed share of training, least probability to be confident."""

    rare: Tensor
    share: float
    cutoff: float


@torch.no_grad()
def drawn(weak: Tensor, chances: Chances, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Hard labels of weak logits and which of them teach: confident ones whose draw is below the chance of their class.

    The chance is 1 - share (1 - rare), so frequent classes are dropped more and more while share goes from 0 to 1.
    draws: uniform numbers in [0, 1) of the labels' shape.
    """
    labels, sure = confident(weak, chances.cutoff)
    chance = 1 - chances.share * (1 - chances.rare)
    return labels, sure & (draws < chance[labels])


def balanced_loss(
    logits: Tensor, labels: Tensor, weak: Tensor, strong: Tensor, chances: Chances, draws: tuple[Tensor, Tensor]
) -> Tensor:
    """CE of labelled samples drawn with the chance ``rare`` of their class, and of drawn strong views (see ``drawn``).

    Both are means over ALL samples. draws: uniform numbers of the labels' shape, and of the pseudo labels'.
    """
    kept = draws[0] < chances.rare[labels]
    return masked_cross_entropy(logits, labels, kept) + masked_cross_entropy(strong, *drawn(weak, chances, draws[1]))


def temperatures(frequency: Tensor, time: int, length: int) -> Tensor:
    """Temperature of each class's positives, ``[k]``: 0.1 - (1 - t/T)^2 0.0005 sqrt(f / max f)."""
    return 0.1 - (1 - time / length) ** 2 * 0.0005 * (frequency / frequency.max()).sqrt()


class Samples(NamedTuple):
    """Labelled samples, then weak views; the contrast compares them all.

    vectors: ``[n d]``; classes: ids ``[n]``, the label or the likeliest class; rival: bool ``[n k]``, whether it is a
    negative of each class; sure: bool ``[n]``, whether its loss counts; valid: bool ``[n]``, whether it exists.
    """

    vectors: Tensor
    classes: Tensor
    rival: Tensor
    sure: Tensor
    valid: Tensor


def samples(vectors: Tensor, labels: Tensor, logits: Tensor, weak: Tensor, cutoff: float, valid: Tensor) -> Samples:
    """Samples of vectors ``[l+u d]``, labels ``[l]``, logits ``[l k]`` and weak logits ``[u k]``.

    A labelled sample is a negative of all other classes, a weak view of all but its three likeliest classes.
    """
    weak, classes = weak.detach(), logits.shape[1]
    likely = weak.topk(min(3, classes), 1).indices
    unlikely = torch.ones_like(weak, dtype=torch.bool).scatter(1, likely, False)
    others = labels.unsqueeze(1) != torch.arange(classes, device=labels.device)
    confidence = torch.cat([logits.detach(), weak]).float().softmax(1).amax(1)
    top = torch.cat([labels, weak.argmax(1)])
    return Samples(vectors, top, torch.cat([others, unlikely]), confidence >= cutoff, valid)


def contrast(seen: Samples, centres: Tensor, known: Tensor, temperature: Tensor) -> Tensor:
    """Pull samples to the centre of their class and push them from its negatives; 0 without any sure sample.

    L_a = -ln(pos / (pos + 64 neg + 1e-8)), pos = exp(cos(z_a, centre) / temperature), neg the ONE mean of
    exp(cos / 0.1) over all pairs of a sample and a negative of the class; mean over sure samples. Ours: a class without
    centre or negatives adds 0 (officially NaN).

    centres: ``[k d]``, no gradient; known: bool ``[k]``, whether there is a centre; temperature: ``[k]``.
    """
    classes = torch.arange(len(centres), device=centres.device)
    own = ((seen.classes.unsqueeze(1) == classes) & seen.valid.unsqueeze(1)).float()
    rival = (seen.rival & seen.valid.unsqueeze(1)).float()
    with torch.autocast(centres.device.type, enabled=False):
        vectors = F.normalize(seen.vectors.float(), dim=1)
        power = (vectors @ vectors.T / NEGATIVE_TEMPERATURE).exp()
        pairs = own.sum(0) * rival.sum(0)
        negative = (own * (power @ rival)).sum(0) / pairs.clamp(min=1)
    cosine = (vectors * F.normalize(centres.float(), dim=1)[seen.classes]).sum(1)
    positive = (cosine / temperature[seen.classes]).exp()
    loss = -(positive / (positive + NEGATIVE_FACTOR * negative[seen.classes] + 1e-8)).log()
    counted = seen.sure & seen.valid & (known & (pairs > 0))[seen.classes]
    return (loss * counted).sum() / (counted.sum() + 1e-8)
