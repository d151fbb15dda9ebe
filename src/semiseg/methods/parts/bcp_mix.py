"""Mixes of two crops, their loss, and clean pseudo labels for bcp.

Source: DeepMed-Lab-ECNU/BCP: code/utils/BCP_utils.py, code/LA_BCP_train.py and code/pancreas/pancreas_utils.py.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from semiseg.blocks.sample_dice import dice_per_sample

EPSILON = 1e-16  # added to the number of voxels of a region
NEIGHBOURS = {18: 2, 26: 3}  # neighbours of a voxel -> scipy's connectivity


def region(sides: Sequence[int], ratio: float) -> Tensor:
    """Mask ``[z y x]``, false in a random cuboid of int(ratio x side) voxels along each axis; it is on the CPU."""
    mask = torch.ones(tuple(sides), dtype=torch.bool)
    lengths = [int(side * ratio) for side in sides]
    starts = [int(torch.randint(0, side - length, ())) for side, length in zip(sides, lengths, strict=True)]
    box = tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))
    mask[box] = False
    return mask


def mixed(outside: Tensor, inside: Tensor, mask: Tensor) -> Tensor:
    """The first tensor where the mask ``[z y x]`` is true, and the second one elsewhere; their last axes are z y x."""
    return torch.where(mask, outside, inside)


def mix_loss(logits: Tensor, outside: Tensor, inside: Tensor, mask: Tensor, weights: tuple[float, float]) -> Tensor:
    """(w_o (Dice + CE) over the mask with the labels ``outside`` + w_i (Dice + CE) elsewhere with ``inside``) / 2.

    logits ``[b k z y x]``; labels ``[b z y x]``; mask ``[z y x]`` or with an axis of crops.
    """
    probabilities = logits.float().softmax(1)
    parts = ((outside, mask, weights[0]), (inside, ~mask, weights[1]))
    terms = [
        weight * (dice_per_sample(probabilities, labels, where) + _mean_entropy(logits, labels, where))
        for labels, where, weight in parts
    ]
    return torch.stack(terms).sum() / 2


def _mean_entropy(logits: Tensor, labels: Tensor, where: Tensor) -> Tensor:
    """Mean cross-entropy over a region of all crops; 0 for an empty one."""
    losses, counted = F.cross_entropy(logits.float(), labels, reduction="none"), where.expand_as(labels)
    return (losses * counted).sum() / (counted.sum() + EPSILON)


def confident(logits: Tensor, threshold: float) -> Tensor:
    """Organ whose probability is at least the threshold, else background: ``[b z y x]`` of logits ``[b k z y x]``."""
    probability, organ = logits.float().softmax(1)[:, 1:].max(1)
    return torch.where(probability >= threshold, organ + 1, 0)


def largest_components(labels: Tensor, neighbours: int) -> Tensor:
    """Labels ``[b z y x]`` of which each organ keeps its largest connected component in each crop.

    neighbours: 26, or 18 that share a face or an edge. Of equal components the first in the order of voxels stays.
    """
    crops = labels.cpu().numpy()
    kept = [_largest(crop, NEIGHBOURS[neighbours]) for crop in crops]
    return torch.from_numpy(np.stack(kept)).to(labels.device)


def _largest(crop: NDArray[np.int64], connectivity: int) -> NDArray[np.int64]:
    kept = np.zeros_like(crop)
    structure = ndimage.generate_binary_structure(3, connectivity)
    for organ in np.unique(crop[crop > 0]):
        components, _ = ndimage.label(crop == organ, structure)
        sizes = np.bincount(components.ravel())
        kept[components == 1 + sizes[1:].argmax()] = organ
    return kept
