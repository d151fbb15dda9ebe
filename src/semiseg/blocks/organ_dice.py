"""The foreground Dice losses of the LA line, for any number of organs.

The official codes have two classes and take the Dice of channel 1. With more classes (ours) it is the mean over the
organs of the same loss of each one's channel.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from semiseg.blocks.losses import dice_linear_pooled, dice_squared_per_class


def over_organs(loss: Callable[[Tensor, Tensor], Tensor], probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean over the organs c of loss(p_c, labels == c), of probabilities ``[b k z y x]`` and labels ``[b z y x]``."""
    organs = range(1, probabilities.shape[1])
    return torch.stack([loss(probabilities[:, organ].float(), labels == organ) for organ in organs]).mean()


def dice_linear_each(probabilities: Tensor, labels: Tensor) -> Tensor:
    """``dice_linear_pooled`` of each organ's channel alone, averaged; ``dice_linear_fg`` for two classes.

    Source: ycwu1997/MC-Net: code/utils/losses.py Binary_dice_loss.
    """
    return over_organs(dice_linear_pooled, probabilities, labels)


def dice_squared_each(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean over the organs of ``dice_squared_per_class`` with s = 1e-5; ``dice_squared_fg`` for two classes."""
    return dice_squared_per_class(probabilities, labels, smooth=1e-5)[1:].mean()
