"""Random voxels by class, in tensors of a fixed size, so that a GPU never waits to learn how many there are."""

import torch
from torch import Tensor

SPREAD = 2**24  # random numbers below this order the voxels of one class


def draw(ids: Tensor, classes: int, size: int) -> tuple[Tensor, Tensor]:
    """Up to ``size`` voxels of each class without replacement: their places and which of these are filled.

    ids: class ids of any shape. Both results are ``[k size]``: places in the flattened ids, and bool. A class with
    fewer voxels gives all of them; the remaining places point to voxels of no meaning.
    """
    flat = ids.flatten()
    order = flat * SPREAD + torch.randint(SPREAD, flat.shape, device=flat.device)
    order, places = order.sort()
    bounds = torch.searchsorted(order, torch.arange(classes + 1, device=flat.device) * SPREAD)
    picked = bounds[:-1].unsqueeze(1) + torch.arange(size, device=flat.device)
    return places[picked.clamp(max=len(flat) - 1)], picked < bounds[1:].unsqueeze(1)


def gather(maps: Tensor, places: Tensor) -> Tensor:
    """Values ``[n c]`` of maps ``[b c z y x]`` at places ``[n]`` of the flattened ``[b z y x]``; keeps gradients."""
    flat = maps.flatten(2)
    voxels = flat.shape[2]
    return flat[places // voxels, :, places % voxels]
