"""Class-wise voxel contrast that several methods share: random voxels by class, and InfoNCE.

Places count the voxels of ``[b z y x]`` in C order, as in ``semiseg.blocks.voxels``. A random number u in [0, 1)
chooses the voxel number floor(u n) of n voxels, so voxels are drawn with replacement.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Groups(NamedTuple):
    """Voxels sorted by class: places ``[v]``; start and size ``[k]`` of the stretch of each class."""

    places: Tensor
    starts: Tensor
    sizes: Tensor

    def inside(self, uniform: Tensor) -> Tensor:
        """Places of random voxels of each class, shaped as ``uniform`` ``[k ...]``; arbitrary for an empty class."""
        return self._at(_along(self.starts, uniform) + ranks(uniform, _along(self.sizes, uniform)))

    def outside(self, uniform: Tensor) -> Tensor:
        """Places of random voxels of all other classes together, of the shape of ``uniform`` ``[k ...]``."""
        starts, sizes = _along(self.starts, uniform), _along(self.sizes, uniform)
        rank = ranks(uniform, self.sizes.sum() - sizes)
        return self._at(torch.where(rank < starts, rank, rank + sizes))

    def _at(self, index: Tensor) -> Tensor:
        return self.places[index.clamp(max=len(self.places) - 1)]


def by_class(ids: Tensor, classes: int) -> Groups:
    """Groups of class ids of any shape; ids from ``classes`` on belong to no group. The order in a class is kept."""
    ordered, places = ids.flatten().sort(stable=True)
    bounds = torch.searchsorted(ordered, torch.arange(classes + 1, device=ids.device))
    return Groups(places, bounds[:-1], bounds.diff())


def ranks(uniform: Tensor, number: Tensor | int) -> Tensor:
    """floor(u n) for random numbers u and n voxels; 0 where n is 0. Computed in float64, which counts all voxels."""
    number = torch.as_tensor(number, device=uniform.device)
    return torch.minimum((uniform.double() * number).long(), (number - 1).clamp(min=0))


def info_nce(anchors: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Mean over anchors of -ln[exp(s_0) / sum_j exp(s_j)], s the cosine similarities over the temperature; float32.

    anchors: ``[q d]``; positive: ``[d]``, the entry 0 of each; negatives: ``[q n d]``. Gradients reach all three.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        anchors, positive, negatives = (F.normalize(each.float(), dim=-1) for each in (anchors, positive, negatives))
        near, far = anchors @ positive.unsqueeze(1), (negatives @ anchors.unsqueeze(2)).squeeze(2)
        scores = torch.cat([near, far], 1) / temperature
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device))


def _along(values: Tensor, like: Tensor) -> Tensor:
    """Values ``[k]`` with as many axes as ``like`` ``[k ...]``."""
    return values.view(-1, *[1] * (like.ndim - 1))
