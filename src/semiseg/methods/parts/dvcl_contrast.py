"""Contrast of reliable voxels class by class, between two networks (HqCL of DVCL; the formula is ours, after U2PL).

Everything has a fixed size, so that a GPU never waits for a count: classes that a crop lacks are computed in vain and
weigh nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.blocks import voxels
from semiseg.blocks.info_nce import Groups, by_class, info_nce


class View(NamedTuple):
    """One network: its feature map ``[i c z y x]``, its pointwise head, and the class of each voxel ``[i z y x]``.

    Labelled items come first; classes are labels there and pseudo labels elsewhere; K marks unreliable voxels.
    """

    feature: Tensor
    head: nn.Module
    known: Tensor

    def vectors(self, places: Tensor) -> Tensor:
        """Vectors ``[... d]`` at places of any shape."""
        found: Tensor = self.head(voxels.gather(self.feature, places.flatten()))
        return found.view(*places.shape, found.shape[1])


class Sizes(NamedTuple):
    """Numbers of anchors of a class, of negatives of an anchor, and most voxels of a prototype; the temperature."""

    anchors: int
    negatives: int
    prototype: int
    temperature: float


def class_contrast(views: Sequence[View], labels: Tensor, classes: int, sizes: Sizes) -> Tensor:
    """Mean over networks and the classes of the labels of InfoNCE (see ``contrast.info_nce``); 0 for a class alone.

    Anchors are drawn from the class's voxels in ``known``; the positive is the mean direction of labelled voxels of the
    class in the same network; negatives are labelled voxels of other classes in both networks. Gradients reach the
    anchors alone. labels: ``[b z y x]``.
    """
    labelled, device = by_class(labels, classes), labels.device
    places, filled = voxels.draw(labels, classes, sizes.prototype)
    losses = []
    for view in views:
        draws = torch.rand(classes, sizes.anchors, dtype=torch.float64, device=device)
        anchors = view.vectors(by_class(view.known, classes).inside(draws))
        rivals = rival_places(labelled, views, sizes)
        for number in range(classes):
            with torch.no_grad():
                positive = mean_direction(view.vectors(places[number]), filled[number])
                pairs = zip(views, rivals, strict=True)
                negatives = torch.cat([other.vectors(theirs[number]) for other, theirs in pairs], 1)
            losses.append(info_nce(anchors[number], positive, negatives, sizes.temperature))
    present = labelled.sizes > 0
    accompanied = present & (labelled.sizes < labels.numel())
    means = torch.stack(losses).view(len(views), classes).mean(0)
    return torch.where(accompanied, means, 0).sum() / present.sum()


def rival_places(labelled: Groups, views: Sequence[View], sizes: Sizes) -> list[Tensor]:
    """Drawn labelled places of other classes, ``[k m n]`` for each network; the n sum up to the number of negatives.

    Each negative falls to either network with the same chance. The host draws that once for all anchors, so it knows n;
    for a single anchor this is a draw with replacement from the voxels of both.
    """
    owners = torch.randint(len(views), (sizes.negatives,))
    shape, device = (len(labelled.sizes), sizes.anchors), labelled.places.device
    numbers = torch.bincount(owners, minlength=len(views)).tolist()
    return [labelled.outside(torch.rand(*shape, number, dtype=torch.float64, device=device)) for number in numbers]


def mean_direction(vectors: Tensor, filled: Tensor) -> Tensor:
    """Unit vector ``[d]`` along the mean direction of the filled ones of vectors ``[n d]``."""
    return F.normalize((F.normalize(vectors, dim=1) * filled.unsqueeze(1)).sum(0), dim=0)
