"""Mixes of two crops, and losses on their regions (BCP). Source: DeepMed-Lab-ECNU/BCP, the files named below."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.losses import one_hot

SMOOTH, TINY, SPACE = 1e-5, 1e-16, (2, 3, 4)


def check_ratio(who: str, ratio: float) -> None:
    """Raise UserError for a side of the cuboid that is not a part of the crop's."""
    if not 0 < ratio < 1:
        raise UserError(f"{who}.ratio must be above 0 and below 1, found {ratio:g}")


def cuboid_mask(sides: Sequence[int], ratio: float, device: torch.device) -> Tensor:
    """Mask ``[z y x]`` of ones with a cuboid of zeros, at a random place; the last place of an axis is never drawn.

    Source: code/utils/BCP_utils.py context_mask, whose upper bounds are exclusive.
    """
    mask = torch.ones(tuple(sides), device=device)
    lengths = [int(side * ratio) for side in sides]
    starts = [int(torch.randint(0, side - length, ())) for side, length in zip(sides, lengths, strict=True)]
    mask[tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))] = 0
    return mask


def halves(rows: Tensor) -> tuple[Tensor, Tensor]:
    """First and second half of the rows; of an odd number the row in the middle is in both."""
    return rows[: (len(rows) + 1) // 2], rows[len(rows) // 2 :]


def mixed(outside: Tensor, inside: Tensor, mask: Tensor) -> Tensor:
    """Crops or labels with ``outside`` where the mask ``[z y x]`` is 1 and ``inside`` where it is 0."""
    return torch.where(mask.bool(), outside, inside)


def region_dice(logits: Tensor, labels: Tensor, region: Tensor) -> Tensor:
    """1 - mean over crops and classes of (2 S(pym) + s) / (S(pm) + S(ym) + s), where S sums over space; s = 1e-5.

    logits: ``[b k z y x]``; labels: ``[b z y x]``; region: m, ``[z y x]`` or ``[b 1 z y x]``. 0 for an empty region.
    Source: code/utils/losses.py mask_DiceLoss.
    """
    probabilities = logits.float().softmax(1) * region
    truth = one_hot(labels, logits.shape[1]) * region
    overlap, sizes = (probabilities * truth).sum(SPACE), (probabilities + truth).sum(SPACE)
    return 1 - ((2 * overlap + SMOOTH) / (sizes + SMOOTH)).mean()


def region_cross_entropy(logits: Tensor, labels: Tensor, region: Tensor) -> Tensor:
    """Cross-entropy S(ce m) / (S(m) + 1e-16) of a region m ``[z y x]`` or ``[b 1 z y x]``; S sums over crops as well.

    Source: code/utils/BCP_utils.py mix_loss.
    """
    entropy = F.cross_entropy(logits.float(), labels, reduction="none")
    weights = region.reshape(-1, *region.shape[-3:]).expand(entropy.shape)
    return (entropy * weights).sum() / (weights.sum() + TINY)


def mix_loss(
    logits: Tensor, outside: Tensor, inside: Tensor, mask: Tensor, weight_outside: float, weight_inside: float
) -> Tensor:
    """Half of Dice plus cross-entropy of each of the two regions of a mix, times the weight of the region.

    outside, inside: labels ``[b z y x]`` of the region where the mask is 1, and where it is 0. Source:
    code/utils/BCP_utils.py mix_loss.
    """
    regions = ((outside, mask, weight_outside), (inside, 1 - mask, weight_inside))
    terms = [
        weight * (region_dice(logits, labels, region) + region_cross_entropy(logits, labels, region))
        for labels, region, weight in regions
    ]
    return torch.stack(terms).sum() / 2
