"""Balanced training of the auxiliary heads of skcdf: voxels are kept by chance, those of rare classes more often.

Follows yinguanchun/SKCDF: SKCDF/code/train_skcdf.py and SKCDF/code/utils/loss.py. Losses are float32; that code
computes masked ones in float64, because its mask is float64.
"""

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.losses import ce_dice_organs, dice_linear_organs, masked_cross_entropy


def dice_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """DC: cross-entropy plus 1 minus the mean soft Dice of the organs, of ``[b k z y x]`` and ``[b z y x]``."""
    return 1 + ce_dice_organs(logits, labels)


def keep_ratio(voxels: Tensor) -> Tensor:
    """Share of the voxels of each class that is kept, float64 ``[k]``: voxels of the rarest class over its own.

    voxels: number of voxels of each class ``[k]``. With a class of 0 voxels all others have ratio 0, and its own is
    not a number.
    """
    return voxels.min() / voxels


def class_ratio(voxels: Tensor, cases: int) -> Tensor:
    """``keep_ratio`` of the first ``cases`` cases; voxels: number of voxels of each class in each case ``[n k]``.

    Raises UserError for less than one case, and if a class has no voxel in these cases.
    """
    if cases < 1:
        raise UserError(f"SKCDF.counted_cases must be 1 or more; found {cases}")
    counted = voxels[:cases].sum(0)
    if absent := (counted == 0).nonzero().flatten().tolist():
        raise UserError(
            f"SKCDF keeps voxels in proportion to the rarest class of the first {len(voxels[:cases])} labelled"
            f" cases, which have no voxel of class {', '.join(map(str, absent))}: choose a split where they have every"
            " class, raise counted_cases, or set absh to false"
        )
    return keep_ratio(counted)


def keep_chance(ratio: Tensor, progress: float) -> Tensor:
    """Chance of each class that a voxel is kept, ``[k]``: falls from 1 at progress 0 to the ratio at progress 1.

    Progress beyond 1, in epochs that a protocol adds, counts as 1.
    """
    return 1 - min(progress, 1) * (1 - ratio)


def kept(labels: Tensor, ratio: Tensor) -> Tensor:
    """Mask ``[b z y x]``, bool: each voxel of labels ``[b z y x]`` is kept with the chance of its class, ``[k]``.

    Random numbers come from torch's default generator; they are compared in float64.
    """
    return torch.rand(labels.shape, device=labels.device) < ratio[labels]


def masked_dice_ce(logits: Tensor, labels: Tensor, mask: Tensor, mode: str) -> Tensor:
    """DC of logits ``[b k z y x]`` and labels ``[b z y x]`` with a bool mask ``[b z y x]``.

    mode: with ``logits`` the mask multiplies logits and labels, so that a voxel outside of it has uniform
    probabilities and the label background. With ``loss`` it multiplies the cross-entropy of each voxel, whose mean is
    over all voxels, and the Dice is that of the voxels in the mask.
    """
    if mode == "logits":
        return dice_ce(logits * mask.unsqueeze(1), labels * mask)
    probabilities = logits.float().softmax(1) * mask.unsqueeze(1)
    return 1 + masked_cross_entropy(logits, labels, mask) + dice_linear_organs(probabilities, labels * mask, smooth=1.0)
