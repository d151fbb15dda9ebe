"""Reliable and unreliable voxels, by the entropy of their predictions."""

from collections.abc import Sequence
from math import floor

import torch
from torch import Tensor

from semiseg.blocks.losses import masked_cross_entropy
from semiseg.method import TrainingTime


def entropy(probabilities: Tensor) -> Tensor:
    """-sum over classes of p ln(p + 1e-10), float32 ``[b z y x]``, in nats (Haochen-Wang409/U2PL: train_semi.py)."""
    probabilities = probabilities.float()
    return -(probabilities * (probabilities + 1e-10).log()).sum(1)


def percentiles(values: Tensor, percents: Sequence[float]) -> Tensor:
    """Percentiles of all values together, ``[n]``, with linear interpolation as numpy's; any number of values.

    All percentiles come from one sort, because ``torch.quantile`` refuses more than 16 million values.
    """
    ordered = values.flatten().sort().values
    last, found = len(ordered) - 1, []
    for percent in percents:
        position = min(max(percent / 100 * last, 0.0), float(last))
        below = floor(position)
        found.append(ordered[below].lerp(ordered[min(below + 1, last)], position - below))
    return torch.stack(found)


def falling(percent: float, time: TrainingTime) -> float:
    """A percentage that falls linearly from ``percent`` to 0 over the training."""
    return percent * (1 - time.iteration / time.iterations)


def rising(percent: float, time: TrainingTime) -> float:
    """A percentage that rises linearly from ``percent`` to 100 over the training."""
    return 100 - falling(100 - percent, time)


def pseudo_loss(logits: Tensor, labels: Tensor, uncertainty: Tensor, percent: float) -> Tensor:
    """Mean CE over the voxels whose entropy is below its ``percent`` percentile, times (all voxels / these voxels).

    The result is 0 if all voxels are equally uncertain, because no voxel is kept then. logits: ``[b k z y x]``; labels
    and uncertainty: ``[b z y x]`` (Haochen-Wang409/U2PL: u2pl/utils/loss_helper.py compute_unsupervised_loss).
    """
    kept = uncertainty < percentiles(uncertainty, [percent])
    fraction = kept.float().mean().clamp(min=1 / kept.numel())
    return masked_cross_entropy(logits, labels, kept) / fraction.square()


def above_mean(uncertainty: Tensor, alpha: float) -> Tensor:
    """Voxels whose entropy exceeds mean + alpha SD of their item (population SD), bool, both ``[b z y x]``."""
    flat = uncertainty.flatten(1)
    limit = flat.mean(1) + alpha * flat.std(1, correction=0)
    return uncertainty > limit.view(-1, 1, 1, 1)
