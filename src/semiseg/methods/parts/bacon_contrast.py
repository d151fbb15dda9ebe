"""Balanced classifier and contrast of BaCon (fqhank/AAAI24-BaCon-CISSL: semilearn/imb_algorithms/bacon).

Samples are rows of ``[n ...]`` or voxels of maps ``[b ... z y x]``; there are K classes, and their axis is 1. Losses
are float32.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.losses import confident_labels, masked_cross_entropy

NEGATIVE_TEMPERATURE = 0.1
NEGATIVE_FACTOR = 64  # the mean over negatives stands for so many of them
LIKELY = 3  # a weak view is no negative of so many likeliest classes


def rarity(counts: Tensor) -> Tensor:
    """Count of the rarest class over the count of each class, ``[k]`` in (0, 1].

    Ours: a class without samples has rarity 1 and is not the rarest. Officially every class has samples.
    """
    found = counts > 0
    rarest = torch.where(found, counts, torch.inf).min()
    return torch.where(found, rarest / counts.clamp(min=1), 1.0)


class SamplingRule(NamedTuple):
    """Rule of the class-balanced sampling.

    rarity: ``[k]``, see the function ``rarity``; elapsed: fraction of the training that is over, in [0, 1]; cutoff:
    least probability of a confident pseudo label.
    """

    rarity: Tensor
    elapsed: float
    cutoff: float


@torch.no_grad()
def sample(weak: Tensor, rule: SamplingRule, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Pseudo labels of weak logits, and a mask of the samples that train the balanced classifier.

    A sample is in the mask if its pseudo label is confident and its uniform number is below the probability of its
    class, 1 - elapsed (1 - rarity): frequent classes are dropped more and more often in the course of the training.
    uniform: random numbers in [0, 1) of the labels' shape.
    """
    labels, confident = confident_labels(weak, rule.cutoff)
    probability = 1 - rule.elapsed * (1 - rule.rarity)
    return labels, confident & (uniform < probability[labels])


def balanced_loss(
    logits: Tensor, labels: Tensor, weak: Tensor, strong: Tensor, rule: SamplingRule, uniform: tuple[Tensor, Tensor]
) -> Tensor:
    """CE of the sampled labelled voxels plus CE of the sampled strong views, both means over ALL samples.

    A labelled sample is kept with the probability ``rarity`` of its class, a strong view by ``sample``. uniform: random
    numbers in [0, 1) of the labels' shape, and of the pseudo labels'.
    """
    for_labelled, for_unlabelled = uniform
    kept = for_labelled < rule.rarity[labels]
    pseudo, kept_pseudo = sample(weak, rule, for_unlabelled)
    return masked_cross_entropy(logits, labels, kept) + masked_cross_entropy(strong, pseudo, kept_pseudo)


def temperatures(frequency: Tensor, time: int, length: int) -> Tensor:
    """Temperature of the positives of each class, ``[k]``: 0.1 - (1 - t/T)^2 0.0005 sqrt(f / max f)."""
    return 0.1 - (1 - time / length) ** 2 * 0.0005 * (frequency / frequency.max()).sqrt()


class Samples(NamedTuple):
    """Samples of the contrast: labelled ones first, weak views after them; each is compared with all others.

    vectors: ``[n d]``.
    classes: ids ``[n]``: the label, or the likeliest class of a weak view.
    negatives: bool ``[n k]``: whether the sample is a negative of each class.
    confident: bool ``[n]``: whether the sample's own loss counts.
    valid: bool ``[n]``: False for padding, which exists so that all tensors have a fixed size.
    """

    vectors: Tensor
    classes: Tensor
    negatives: Tensor
    confident: Tensor
    valid: Tensor


def as_samples(vectors: Tensor, labels: Tensor, logits: Tensor, weak: Tensor, cutoff: float, valid: Tensor) -> Samples:
    """Samples of vectors ``[l+u d]``, labels ``[l]``, labelled logits ``[l k]`` and weak logits ``[u k]``.

    A labelled sample is a negative of all other classes. A weak view is a negative of all classes but its three
    likeliest ones. A sample is confident if its largest probability is at least ``cutoff``.
    """
    weak, classes = weak.detach(), logits.shape[1]
    likely = weak.topk(min(LIKELY, classes), 1).indices
    unlikely = torch.ones_like(weak, dtype=torch.bool).scatter(1, likely, False)
    other_classes = labels.unsqueeze(1) != torch.arange(classes, device=labels.device)
    probability = torch.cat([logits.detach(), weak]).float().softmax(1).amax(1)
    ids = torch.cat([labels, weak.argmax(1)])
    return Samples(vectors, ids, torch.cat([other_classes, unlikely]), probability >= cutoff, valid)


def contrast(samples: Samples, centres: Tensor, known: Tensor, temperature: Tensor) -> Tensor:
    """Pull samples to the centre of their class and push them from its negatives; 0 without a confident sample.

    The loss of sample a is L_a = -ln(pos / (pos + 64 neg + 1e-8)). Here pos = exp(cos(z_a, centre) / temperature), and
    neg is ONE mean for the class: that of exp(cos / 0.1) over all pairs of a sample of the class and a negative of it.
    The result is the mean over confident samples. Ours: a class without centre or negatives adds 0, officially NaN.

    centres: ``[k d]``, without gradient; known: bool ``[k]``, whether the class has a centre; temperature: ``[k]``.
    """
    classes = torch.arange(len(centres), device=centres.device)
    own = ((samples.classes.unsqueeze(1) == classes) & samples.valid.unsqueeze(1)).float()
    negatives = (samples.negatives & samples.valid.unsqueeze(1)).float()
    with torch.autocast(centres.device.type, enabled=False):
        vectors = F.normalize(samples.vectors.float(), dim=1)
        power = (vectors @ vectors.T / NEGATIVE_TEMPERATURE).exp()
        pairs = own.sum(0) * negatives.sum(0)
        negative = (own * (power @ negatives)).sum(0) / pairs.clamp(min=1)
    cosine = (vectors * F.normalize(centres.float(), dim=1)[samples.classes]).sum(1)
    positive = (cosine / temperature[samples.classes]).exp()
    loss = -(positive / (positive + NEGATIVE_FACTOR * negative[samples.classes] + 1e-8)).log()
    counted = samples.confident & samples.valid & (known & (pairs > 0))[samples.classes]
    return (loss * counted).sum() / (counted.sum() + 1e-8)
