"""Selection of reliable and unreliable voxels by the entropy of their predictions."""

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
    """Percentiles ``[n]`` of the flattened values, interpolated linearly as by ``numpy.percentile``.

    The values are sorted once for all percentiles, because ``torch.quantile`` refuses more than 16 million values.
    """
    ordered = values.flatten().sort().values
    last, found = len(ordered) - 1, []
    for percent in percents:
        position = min(max(percent / 100 * last, 0.0), float(last))
        below = floor(position)
        found.append(ordered[below].lerp(ordered[min(below + 1, last)], position - below))
    return torch.stack(found)


def falling(percent: float, time: TrainingTime) -> float:
    """Percentage that falls with every epoch, from ``percent`` in the first one to 0 at the end of the training."""
    return percent * (1 - time.epoch / time.epochs)


def rising(percent: float, time: TrainingTime) -> float:
    """Percentage that rises with every epoch, from ``percent`` in the first one to 100 at the end of the training."""
    return 100 - falling(100 - percent, time)


def pseudo_loss(logits: Tensor, labels: Tensor, uncertainty: Tensor, percent: float) -> Tensor:
    """Mean CE over the kept voxels, times (number of all voxels / number of kept voxels).

    A voxel is kept if its entropy is below the percentile ``percent`` of all entropies. If all entropies are equal, no
    voxel is kept and the result is 0. logits: ``[b k z y x]``; labels: class ids ``[b z y x]``; uncertainty:
    entropy ``[b z y x]``. Source: Haochen-Wang409/U2PL: u2pl/utils/loss_helper.py compute_unsupervised_loss.
    """
    kept = uncertainty < percentiles(uncertainty, [percent])
    fraction = kept.float().mean().clamp(min=1 / kept.numel())
    return masked_cross_entropy(logits, labels, kept) / fraction.square()


def above_mean(uncertainty: Tensor, alpha: float) -> Tensor:
    """Mask ``[b z y x]``: True where the entropy ``[b z y x]`` exceeds its item's mean + alpha population SDs."""
    flat = uncertainty.flatten(1)
    limit = flat.mean(1) + alpha * flat.std(1, correction=0)
    return uncertainty > limit.view(-1, 1, 1, 1)
