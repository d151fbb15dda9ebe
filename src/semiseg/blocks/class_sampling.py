"""Random choice of voxels by their class: voxels of classes that are learnt badly are kept more often.

Source: xmed-lab/DHC: code/train_cld.py, code/train_acisis.py.
"""

import torch
from torch import Tensor


def sampling_rate(confidence: Tensor, gamma: float, floor: float = 0.0) -> Tensor:
    """((1 - c) / max(1 - c))^gamma of ``[k]`` in [0, 1]: the worst class has rate 1; organs have ``floor`` or more."""
    gap = 1 - confidence
    rate = (gap / (gap.max() + 1e-12)) ** gamma
    return torch.cat([rate[:1], rate[1:].clamp(min=floor)])


def sampling_mask(predicted: Tensor, rate: Tensor, draws: Tensor) -> Tensor:
    """Which voxels are kept, bool ``[b z y x]``: those whose draw exceeds 1 - rate of their predicted class.

    predicted: class ids ``[b z y x]``; rate: ``[k]``; draws: uniform numbers in [0, 1), one map for all classes
    ``[1 b z y x]``, which equals in distribution the official code's one map for each, ``[k b z y x]``.
    """
    own = draws.expand(len(rate), *predicted.shape).gather(0, predicted.unsqueeze(0)).squeeze(0)
    return own > (1 - rate)[predicted]
