"""Signed distance maps of organs, exact, on the device where the labels are.

The maps are scaled by their own extremes INSIDE the crop (kleinzcy/SASSnet: code/utils/util.py compute_sdf). A map of
the whole case can therefore not serve: every crop of every step needs its own, and scipy's transform takes seconds for
the organs of one batch. Here the squared distance of a voxel p is the minimum of f(q) + (p - q)^2, taken along one axis
after the other; f is 0 in the organ and FAR elsewhere. The nearest organ voxel lies in the organ's bounding box, and
the nearest voxel outside the organ in the box with a margin of one voxel, so most sums need not be computed. Only for
the boxes does the host wait for the GPU.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

FAR = 1e9  # squared distance where there is no source; finite, so that a crop full of one organ gives a number
BLOCK_VALUES = {"cpu": 2**19, "cuda": 2**25}  # sums taken at once: 2 MiB for the cache, or enough to fill a GPU

Box = tuple[slice, ...]


@torch.no_grad()
def signed_distance(labels: Tensor, classes: int) -> Tensor:
    """Signed distance of each organ, float32 ``[b k-1 z y x]`` in [-1, 1], of class ids ``[b z y x]``.

    Positive outside the organ, negative inside, each side divided by its maximum in the crop; 0 on the organ's inner
    boundary (voxels that touch another class by a face) and everywhere for an organ that is not in the crop. An organ
    that fills the crop is -1 everywhere (ours: the official code divides 0 by 0). Distances count voxels of spacing 1.
    """
    maps = torch.zeros(len(labels), classes - 1, *labels.shape[1:], device=labels.device)
    for item, organ, box in organ_boxes(labels, classes):
        signed, ids = maps[item, organ - 1], labels[item]
        around = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        outside = squared_distance(ids[box] == organ, [side.start for side in box], signed.shape)
        inside = squared_distance(ids[around] != organ, [0, 0, 0], signed[around].shape)
        signed += outside.sqrt() / outside.amax().sqrt().clamp_min(1)  # 0 where the organ fills the crop
        signed[around] -= inside.sqrt() / inside.amax().sqrt()
        signed[around].masked_fill_(inside == 1, 0)  # a neighbour of another class: the inner boundary
    return maps


def organ_boxes(labels: Tensor, classes: int) -> Iterator[tuple[int, int, Box]]:
    """Item, class id and bounding box of every organ that occurs in class ids ``[b z y x]``."""
    bounds = torch.stack([_bounds(labels.movedim(axis, 1).flatten(2), classes) for axis in (1, 2, 3)], 2)
    for item, organs in enumerate(bounds.tolist()):
        for organ, box in enumerate(organs[1:], 1):
            if box[0][1]:
                yield item, organ, tuple(slice(start, stop) for start, stop in box)


def _bounds(planes: Tensor, classes: int) -> Tensor:
    """First plane of each class and the plane after its last, int64 ``[b k 2]``, of class ids ``[b planes v]``.

    The second is 0 if the class is absent.
    """
    found = torch.zeros(*planes.shape[:2], classes, dtype=torch.bool, device=planes.device).scatter_(2, planes, True)
    after = torch.arange(1, planes.shape[1] + 1, device=planes.device).view(-1, 1) * found
    start = (found.cumsum(1) == 0).sum(1)
    return torch.stack([start, after.amax(1)], 2)


def squared_distance(sources: Tensor, start: list[int], shape: torch.Size) -> Tensor:
    """Squared distance in voxels to the nearest source, float32 of ``shape``; FAR where there is none.

    sources: bool ``[z y x]``, a box of the grid whose first voxel lies at ``start``.
    """
    squared = torch.where(sources, 0.0, FAR)
    # the last pass runs over all voxels of the grid, so it takes the axis with the fewest planes of sources
    for axis in sorted(range(3), key=lambda axis: -sources.shape[axis]):
        squared = _along(squared, axis, start[axis], shape[axis])
    return squared


def _along(squared: Tensor, axis: int, start: int, size: int) -> Tensor:
    """Minimum over q of f(q) + (p - q)^2 for every p of an axis of ``size`` voxels; f is given from ``start`` on."""
    columns = squared.movedim(axis, 0)
    rest, count, device = columns.shape[1:], len(columns), squared.device
    target, source = torch.arange(size, device=device), start + torch.arange(count, device=device)
    steps = (target - source[:, None]).square().float()[..., None]
    width = max(1, BLOCK_VALUES[device.type] // (count * size))
    nearest = [(block[:, None] + steps).amin(0) for block in torch.split(columns.reshape(count, -1), width, 1)]
    return torch.cat(nearest, 1).view(size, *rest).movedim(0, axis)
