"""Losses of rcps (hsiangyuzhao/RCPS: models/segmentation_models.py and base/base_modules.py)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.sample_dice import dice_per_sample

EPSILON = 1e-8  # added to the denominator of the contrast


def supervised(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Dice of each crop and class + K / S(w) CE, the CE with class weights w ``[k]`` and divided by their sum."""
    dice = dice_per_sample(logits.float().softmax(1), labels)
    return dice + len(weights) / weights.sum() * cross_entropy(logits, labels, weights)


def rectified(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """mean(exp(-kl) ce) + mean(kl) over voxels, of logits x and targets t ``[b k z y x]``; t carries no gradient.

    ce = -S q ln softmax(x) with q = softmax(t / temperature); kl = S s (ln s - ln softmax(x)) with s = softmax(t). The
    factor exp(-kl) has a gradient too.
    """
    logarithms, targets = logits.float().log_softmax(1), targets.detach().float()
    entropy = -((targets / temperature).softmax(1) * logarithms).sum(1)
    plain = targets.log_softmax(1)
    divergence = (plain.exp() * (plain - logarithms)).sum(1)
    return ((-divergence).exp() * entropy).mean() + divergence.mean()


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Mean over voxels of 1 - the cosine similarity over the classes of two logits ``[b k z y x]``."""
    return (1 - F.cosine_similarity(first.float(), second.float(), dim=1)).mean()


def contrast(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor,
    logits: Tensor,
    negative_logits: Tensor,
    count: int,
    temperature: float,
    both_ways: bool = True,
) -> Tensor:
    """Mean over voxels of -ln[e^p / (S e^n + e^p + 1e-8)], p and n cosine similarities over the temperature.

    anchors, positives: vectors ``[b d z y x]`` of two views; p is that of the same voxel. negatives: vectors of other
    crops, of which a voxel has the ``count`` most confident ones of all crops whose class differs from its own, or all
    voxels if there are fewer. logits, negative_logits: ``[b k z y x]`` that give classes and confidence. both_ways: add
    the same with the positives as anchors. Where too few voxels differ in class, others fill up, as in the source.
    All voxels of a class have the same negatives, so that no matrix of all pairs is needed.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        first, second, others = (_vectors(each.float()) for each in (anchors, positives, negatives))
        classes = logits.argmax(1).flatten()
        confidence, other_classes = (each.flatten() for each in negative_logits.float().softmax(1).max(1))
        near = (first * second).sum(1) / temperature
        loss = torch.zeros((), device=near.device)
        for member in range(logits.shape[1]):
            scores = confidence * (other_classes != member)
            chosen = others[scores.topk(min(count, len(scores))).indices]
            for vectors in (first, second) if both_ways else (first,):
                loss = loss + (_nce(vectors, chosen, near, temperature) * (classes == member)).sum()
    return loss / len(near)


def _nce(vectors: Tensor, negatives: Tensor, near: Tensor, temperature: float) -> Tensor:
    """-ln[e^p / (S e^n + e^p + 1e-8)] of each vector ``[v d]``, with p = ``near`` ``[v]``; negatives ``[n d]``."""
    least = torch.full_like(near, EPSILON).log()
    scores = torch.cat([vectors @ negatives.T / temperature, near.unsqueeze(1), least.unsqueeze(1)], 1)
    return scores.logsumexp(1) - near


def _vectors(maps: Tensor) -> Tensor:
    """Unit vectors ``[v d]`` of all voxels of maps ``[b d z y x]``."""
    return F.normalize(maps, dim=1).movedim(1, -1).flatten(0, -2)
