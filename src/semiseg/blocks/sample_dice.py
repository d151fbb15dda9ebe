"""Dice loss of each crop and class by itself, then the mean; whole crops, or a region of them."""

import torch
from torch import Tensor

from semiseg.blocks.losses import one_hot

SPACE = (2, 3, 4)
SMOOTH = 1e-5


def dice_per_sample(probabilities: Tensor, labels: Tensor, region: Tensor | None = None) -> Tensor:
    """1 - mean over crops and ALL classes of (2 V(mpy) + s) / (V(mp) + V(my) + s), s = 1e-5, V the sum over voxels.

    probabilities: p, ``[b k z y x]``; labels: those of the one-hot y, ``[b z y x]``; region: m, ``[b z y x]`` or
    broadcast to it, None for all voxels. An empty region gives 0. Sources: hsiangyuzhao/RCPS (MONAI's DiceLoss);
    DeepMed-Lab-ECNU/BCP: code/utils/losses.py mask_DiceLoss.
    """
    probabilities, truth = probabilities.float(), one_hot(labels, probabilities.shape[1]).float()
    if region is not None:
        mask = region.float().expand_as(labels).unsqueeze(1)
        probabilities, truth = probabilities * mask, truth * mask
    overlap = (probabilities * truth).sum(SPACE)
    sizes = probabilities.sum(SPACE) + truth.sum(SPACE)
    dice: Tensor = (2 * overlap + SMOOTH) / (sizes + SMOOTH)
    return 1 - torch.mean(dice)
