"""Random voxels by class, in tensors of a fixed size, so that the CPU never waits for the GPU to count them."""

import torch
from torch import Tensor, nn

SPREAD = 2**24  # sort key of a voxel: class id * SPREAD + random number below SPREAD


def draw(ids: Tensor, classes: int, size: int) -> tuple[Tensor, Tensor]:
    """Draw up to ``size`` voxels of each class without replacement.

    ids: class ids of any shape. Returns the drawn places in the flattened ids, and a mask that is True for valid
    places; both are ``[k size]``. A class with fewer than ``size`` voxels has all of them drawn, and its other places
    are arbitrary and not valid.
    """
    flat = ids.flatten()
    order = flat * SPREAD + torch.randint(SPREAD, flat.shape, device=flat.device)
    order, places = order.sort()
    bounds = torch.searchsorted(order, torch.arange(classes + 1, device=flat.device) * SPREAD)
    picked = bounds[:-1].unsqueeze(1) + torch.arange(size, device=flat.device)
    return places[picked.clamp(max=len(flat) - 1)], picked < bounds[1:].unsqueeze(1)


def gather(maps: Tensor, places: Tensor) -> Tensor:
    """Values ``[n c]`` of maps ``[b c z y x]`` at places ``[n]`` of the flattened ``[b z y x]``, with gradients."""
    flat = maps.flatten(2)
    voxels = flat.shape[2]
    return flat[places // voxels, :, places % voxels]


def vectors(head: nn.Module, maps: Tensor, places: Tensor) -> Tensor:
    """Output ``[n d]`` of a pointwise head at places ``[n]`` of maps ``[b c z y x]`` (``gather`` explains places)."""
    found: Tensor = head(gather(maps, places))
    return found


def by_class(ids: Tensor, classes: int, first: int = 0) -> tuple[Tensor, list[int]]:
    """Places ``[n]`` of the voxels whose class is ``first`` or higher, class by class and in their order in a class.

    ids: class ids of any shape; places count in the flattened ids. Also returns the number of voxels of each of these
    classes, for which the CPU waits for the GPU once.
    """
    flat = ids.flatten()
    counts = torch.bincount(flat, minlength=classes).tolist()
    return flat.argsort(stable=True)[sum(counts[:first]) :], counts[first:]
