"""Contrast with complementary labels (qinyideng/ccl: models/ccl_fixmatch/ccl_fixmatch.py).

The n = l + 2u samples stand in the order labelled, weak views, strong views. The HIGH set holds the labelled samples
and both views of confident samples; the LOW set holds both views of the other samples. All tensors keep this size, so
that a GPU never waits for a count; padding is marked as not valid.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """Two bool matrices ``[n n]``: positive pairs, and compared pairs (positive or negative: the denominator)."""

    positive: Tensor
    compared: Tensor


@torch.no_grad()
def complementary_labels(logits: Tensor, fraction: float) -> Tensor:
    """The int(fraction K) least likely classes of each sample, bool ``[u k]``, of logits ``[u k]``."""
    number = int(fraction * logits.shape[1])
    least = logits.topk(number, 1, largest=False).indices
    return torch.zeros_like(logits, dtype=torch.bool).scatter(1, least, True)


@torch.no_grad()
def pairs(labels: Tensor, pseudo: Tensor, confident: Tensor, complementary: Tensor, valid: Tensor) -> Pairs:
    """Which samples are compared with which; a sample is never compared with itself.

    Positive pairs are samples of the same class in the high set, and the two views of one sample in the low set.
    Compared pairs are all pairs of the high set, the two views of one sample in the low set, and a high with a low
    sample where the class of the high one is a complementary label of the low one.

    labels: ``[l]``; pseudo: pseudo labels ``[u]``; confident: bool ``[u]``, whether these are confident; complementary:
    complementary labels, bool ``[u k]``; valid: bool ``[n]``.
    """
    views, total = len(pseudo), len(valid)
    high = torch.cat([torch.ones_like(labels, dtype=torch.bool), confident, confident])
    classes = torch.cat([labels, pseudo, pseudo])
    place = torch.arange(total, device=labels.device)
    distance = (place.unsqueeze(1) - place).abs()
    unlabelled = place >= len(labels)
    two_views = (distance == views) & unlabelled & unlabelled.unsqueeze(1) & ~high  # both views are in the same set
    both_high = high & high.unsqueeze(1) & (distance > 0)
    same_class = classes.unsqueeze(1) == classes
    across = torch.zeros(total, total, dtype=torch.bool, device=labels.device)
    across[len(labels) :] = torch.cat([complementary, complementary])[:, classes]  # row: low sample, column: high one
    across &= high & ~high.unsqueeze(1)
    both_valid = valid & valid.unsqueeze(1)
    return Pairs(
        (same_class & both_high | two_views) & both_valid, (both_high | two_views | across | across.T) & both_valid
    )


def contrast(vectors: Tensor, pairs: Pairs, valid: Tensor, temperature: float) -> Tensor:
    """Sum over rows i of -mean_j P_ij [s_ij - ln sum_j M_ij exp s_ij], over the number of rows with a positive pair.

    s = z z^T / temperature of unit vectors ``[n d]``; P are the positive and M the compared pairs. As in the code the
    mean runs over all valid columns, not over the positives, so the loss shrinks as the number of samples grows. The
    result is 0 without any positive pair.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        scores = vectors.float() @ vectors.float().T / temperature
    scores = scores - scores.detach().amax(1, keepdim=True)
    power = (scores.exp() * pairs.compared).sum(1, keepdim=True)
    gain = (pairs.positive * (scores - torch.where(power > 0, power, 1).log())).sum() / valid.sum()
    return -gain / pairs.positive.any(1).sum().clamp(min=1)
