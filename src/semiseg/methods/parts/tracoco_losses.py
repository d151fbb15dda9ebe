"""Losses of tracoco on unlabelled crops and on the common parts of two crops.

Source: yyliu01/TraCoCo: Code/VnetLA/Utils/losses.py and Code/VnetLA/train.py. Logits are clamped to [1e-6, 1] before
the two losses of common parts, as in that code: negative logits become almost 0, and gradients are left in between
alone.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-6


def clamped(logits: Tensor) -> Tensor:
    """Logits in [1e-6, 1], float32."""
    return logits.float().clamp(LEAST, 1)


def confident_regions(logits: Tensor, target: Tensor, positive: float, negative: float) -> Tensor:
    """P + N. P: mean of max(t) CE to the class of max(t), over voxels where it is at least ``positive``.

    N: mean of -min(t) ln(1 - p) of the class of min(t), over voxels where it is below ``negative``. logits, target:
    ``[u k z y x]``; p and t are their softmax; the target has no gradient. A mean over no voxel is 0. The code is for
    two classes, of which min(t) belongs to the other one.
    """
    likely, unlikely = (found(target.softmax(1), 1) for found in (torch.max, torch.min))
    towards = F.cross_entropy(logits, likely.indices, reduction="none")
    rest = 1 - logits.softmax(1).gather(1, unlikely.indices.unsqueeze(1)).squeeze(1)
    away = -rest.clamp(LEAST, 1).log()
    return _mean(likely.values * towards, likely.values >= positive) + _mean(
        unlikely.values * away, unlikely.values < negative
    )


def translation(first: Sequence[Tensor], second: Sequence[Tensor], axis: int) -> Tensor:
    """Sum over the common parts of the mean over all elements of q_b (ln q_b - ln q_a); 0 without any part.

    first, second: logits ``[k z y x]`` of each part in both crops; q_a, q_b: softmax of their clamped values along an
    axis. That of the code is 1, the first one of space, where the classes are axis 0. Gradients reach both.
    """
    losses = [
        F.kl_div(a.log_softmax(axis), b.log_softmax(axis), reduction="none", log_target=True).mean()
        for a, b in zip(map(clamped, first), map(clamped, second), strict=True)
    ]
    return torch.stack(losses).sum()


def negative_entropy(parts: Sequence[Tensor]) -> Tensor:
    """Mean over parts ``[k z y x]`` of the mean over voxels of the sum of p ln p, p the softmax of clamped logits."""
    logarithms = [clamped(part).log_softmax(0) for part in parts]
    return torch.stack([(each.exp() * each).sum(0).mean() for each in logarithms]).mean()


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)
