"""CutMix as crln and tracoco do it: boxes of one area and random centres, from random other crops.

Sources: yyliu01/TraCoCo: Code/VnetLA/Utils and Yaan-Wang/CRLN: VnetLA/module_list.py rand_bbox. Boxes lie in the plane
of the first two axes and go through the whole third one. The random numbers lie in main memory.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BETA = 4.0


class Boxes(NamedTuple):
    """Random numbers of a step.

    ratio: share of a plane that stays. centres: ``[n 2]``, middle voxels. partners: ``[n]``, where each box is from.
    """

    ratio: Tensor
    centres: Tensor
    partners: Tensor


def draw_boxes(images: Tensor) -> Boxes:
    """Random boxes for crops ``[n c z y x]``: one ratio from Beta(4, 4), centres that leave out the first eighth."""
    count, sides = len(images), torch.tensor(images.shape[2:4])
    first = sides // 8
    centres = first + (torch.rand(count, 2) * (sides - first)).long()
    return Boxes(torch.distributions.Beta(BETA, BETA).sample(), centres, torch.randperm(count))


def limits(centre: int, side: int, ratio: float) -> tuple[int, int]:
    """First voxel and end of a box on an axis."""
    half = int(side * (1 - ratio) ** 0.5) // 2
    return max(centre - half, 0), min(centre + half, side)


def mixed(maps: Tensor, boxes: Boxes) -> Tensor:
    """Maps ``[n ... z y x]``, each with the box of its partner, which is itself not mixed."""
    found, (height, width) = maps.clone(), maps.shape[-3:-1]
    for row, ((down, across), partner) in enumerate(zip(boxes.centres.tolist(), boxes.partners.tolist(), strict=True)):
        top, bottom = limits(down, height, float(boxes.ratio))
        left, right = limits(across, width, float(boxes.ratio))
        found[row, ..., top:bottom, left:right, :] = maps[partner, ..., top:bottom, left:right, :]
    return found
