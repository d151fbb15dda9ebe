"""Which voxels are reliable, by the entropy of their predictions."""

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

    One sort serves all (``torch.quantile`` refuses more than 16 million values).
    """
    ordered = values.flatten().sort().values
    last, found = len(ordered) - 1, []
    for percent in percents:
        position = min(max(percent / 100 * last, 0.0), float(last))
        below = floor(position)
        found.append(ordered[below].lerp(ordered[min(below + 1, last)], position - below))
    return torch.stack(found)


def remaining(percent: float, time: TrainingTime) -> float:
    """A percentage that falls linearly to 0 over the training."""
    return percent * (1 - time.iteration / time.iterations)


def pseudo_loss(logits: Tensor, labels: Tensor, uncertainty: Tensor, percent: float) -> Tensor:
    """CE over voxels whose entropy is below its percentile: their mean times (all voxels / kept voxels).

    logits ``[b k z y x]``; labels and uncertainty ``[b z y x]`` (U2PL: u2pl/utils/loss_helper.py
    compute_unsupervised_loss). 0 where nothing is kept, because all voxels are equally uncertain.
    """
    kept = uncertainty < percentiles(uncertainty, [percent])
    share = kept.float().mean().clamp(min=1 / kept.numel())
    return masked_cross_entropy(logits, labels, kept) / share.square()


def above_mean(uncertainty: Tensor, alpha: float) -> Tensor:
    """Where the entropy ``[b z y x]`` exceeds mean + alpha SD of its own item (population SD), bool ``[b z y x]``."""
    flat = uncertainty.flatten(1)
    limit = flat.mean(1) + alpha * flat.std(1, correction=0)
    return uncertainty > limit.view(-1, 1, 1, 1)
