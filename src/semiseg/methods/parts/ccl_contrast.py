"""Contrast with complementary labels (qinyideng/ccl: models/ccl_fixmatch/ccl_fixmatch.py).

Samples stand in the order labelled, weak views, strong views: n = l + 2u. The HIGH set are the labelled ones and both
views of confident samples, the LOW set both views of the others. Everything keeps this size; what does not exist is
marked as not valid.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """Bool ``[n n]``: pairs of the same class, pairs of the denominator (positive or negative)."""

    positive: Tensor
    compared: Tensor


@torch.no_grad()
def complementary_labels(logits: Tensor, share: float) -> Tensor:
    """The int(share K) least likely classes of each sample, bool ``[u k]``, of logits ``[u k]``."""
    number = int(share * logits.shape[1])
    least = logits.topk(number, 1, largest=False).indices
    return torch.zeros_like(logits, dtype=torch.bool).scatter(1, least, True)


@torch.no_grad()
def pairs(labels: Tensor, pseudo: Tensor, sure: Tensor, unlike: Tensor, valid: Tensor) -> Pairs:
    """Which samples are compared with which, a sample never with itself.

    Positive are samples of the same class in the high set, and the two views of one sample in the low set. Compared are
    all pairs of the high set, the two views of one sample in the low set, and a high with a low sample where the
    class of the first is a complementary label of the second.

    labels: ``[l]``; pseudo labels ``[u]``; sure: whether these are confident, bool ``[u]``; unlike: complementary
    labels, bool ``[u k]``; valid: bool ``[n]``.
    """
    views, total = len(pseudo), len(valid)
    high = torch.cat([torch.ones_like(labels, dtype=torch.bool), sure, sure])
    classes = torch.cat([labels, pseudo, pseudo])
    place = torch.arange(total, device=labels.device)
    apart = (place.unsqueeze(1) - place).abs()
    unlabelled = place >= len(labels)
    twins = (apart == views) & unlabelled & unlabelled.unsqueeze(1) & ~high  # the views of a sample agree on high
    both = high & high.unsqueeze(1) & (apart > 0)
    same = classes.unsqueeze(1) == classes
    across = torch.zeros(total, total, dtype=torch.bool, device=labels.device)
    across[len(labels) :] = torch.cat([unlike, unlike])[:, classes]  # row: complementary labels of, column: class of
    across &= high & ~high.unsqueeze(1)
    real = valid & valid.unsqueeze(1)
    return Pairs((same & both | twins) & real, (both | twins | across | across.T) & real)


def contrast(vectors: Tensor, of: Pairs, valid: Tensor, temperature: float) -> Tensor:
    """Sum over rows i of -mean_j P_ij [s_ij - ln sum_j M_ij exp s_ij], over the number of rows with a positive.

    s = z z^T / temperature of unit vectors ``[n d]``, P and M the positive and compared pairs. The mean runs over all
    valid columns, not over the positives, so the loss shrinks as samples grow in number: kept. 0 without any positive.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        scores = vectors.float() @ vectors.float().T / temperature
    scores = scores - scores.detach().amax(1, keepdim=True)
    power = (scores.exp() * of.compared).sum(1, keepdim=True)
    gain = (of.positive * (scores - torch.where(power > 0, power, 1).log())).sum() / valid.sum()
    return -gain / of.positive.any(1).sum().clamp(min=1)
