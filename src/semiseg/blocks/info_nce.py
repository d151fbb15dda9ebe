"""Parts of class-wise voxel contrast that several methods share: drawing voxels by class, and InfoNCE.

Places count the voxels of ``[b z y x]`` in C order, as in ``semiseg.blocks.voxels``. Draws are uniform numbers u in
[0, 1): of n voxels to choose from, u means the voxel number floor(u n), so that draws are with replacement.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Groups(NamedTuple):
    """Voxels in the order of their classes: places ``[v]``, start and size ``[k]`` of each class's stretch."""

    places: Tensor
    starts: Tensor
    sizes: Tensor

    def inside(self, draws: Tensor) -> Tensor:
        """Places of drawn voxels of each class, shaped as the draws ``[k ...]``; without meaning for an empty class."""
        return self._at(_along(self.starts, draws) + ranks(draws, _along(self.sizes, draws)))

    def outside(self, draws: Tensor) -> Tensor:
        """Places of drawn voxels of all other classes together, shaped as the draws ``[k ...]``."""
        starts, sizes = _along(self.starts, draws), _along(self.sizes, draws)
        rank = ranks(draws, self.sizes.sum() - sizes)
        return self._at(torch.where(rank < starts, rank, rank + sizes))

    def of(self, number: int) -> "Groups":
        """The group of one class alone, as if it were the only one."""
        row = slice(number, number + 1)
        return Groups(self.places, self.starts[row], self.sizes[row])

    def _at(self, index: Tensor) -> Tensor:
        return self.places[index.clamp(max=len(self.places) - 1)]


def by_class(ids: Tensor, classes: int) -> Groups:
    """Groups of class ids of any shape; ids from ``classes`` on belong to no group. Within a class the order stays."""
    ordered, places = ids.flatten().sort(stable=True)
    bounds = torch.searchsorted(ordered, torch.arange(classes + 1, device=ids.device))
    return Groups(places, bounds[:-1], bounds.diff())


def ranks(draws: Tensor, number: Tensor | int) -> Tensor:
    """floor(u n) for draws u and n voxels; 0 where there is none. In float64: float32 counts to 16 million only."""
    number = torch.as_tensor(number, device=draws.device)
    return torch.minimum((draws.double() * number).long(), (number - 1).clamp(min=0))


def info_nce(anchors: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Mean over anchors of -ln[exp(s_0) / sum_j exp(s_j)], s the cosine similarities over the temperature; float32.

    anchors: ``[q d]``; positive: ``[d]``, the entry 0 of each; negatives: ``[q n d]``. Gradients reach all three.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        anchors, positive, negatives = (F.normalize(each.float(), dim=-1) for each in (anchors, positive, negatives))
        near, far = anchors @ positive.unsqueeze(1), (negatives @ anchors.unsqueeze(2)).squeeze(2)
        scores = torch.cat([near, far], 1) / temperature
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device))


def _along(values: Tensor, draws: Tensor) -> Tensor:
    """Values ``[k]`` with as many axes as the draws ``[k ...]``."""
    return values.view(-1, *[1] * (draws.ndim - 1))
