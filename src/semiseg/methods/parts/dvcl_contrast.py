"""Contrast of reliable voxels class by class, between two networks (HqCL of DVCL; the formula is ours, after U2PL).

All tensors have a fixed size, so that the host never waits for the GPU to count voxels. Classes that a crop lacks are
therefore computed as well, with weight 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.blocks import voxels
from semiseg.blocks.info_nce import Groups, by_class, info_nce


class View(NamedTuple):
    """One network: its feature map ``[i c z y x]``, its pointwise head, and the known class of each voxel ``[i z y
    x]``.

    Labelled items come first. The known class is the label there and the pseudo label elsewhere; K marks a voxel whose
    pseudo label is unreliable.
    """

    feature: Tensor
    head: nn.Module
    known: Tensor

    def vectors(self, places: Tensor) -> Tensor:
        """Vectors ``[... d]`` at places of any shape."""
        found = voxels.vectors(self.head, self.feature, places.flatten())
        return found.view(*places.shape, found.shape[1])


class Sizes(NamedTuple):
    """Numbers of the contrast: anchors of a class, negatives of an anchor, most voxels of a prototype; temperature."""

    anchors: int
    negatives: int
    prototype: int
    temperature: float


def class_contrast(views: Sequence[View], labels: Tensor, classes: int, sizes: Sizes) -> Tensor:
    """Mean of InfoNCE (``blocks.info_nce``) over networks and the classes of the labels; 0 if there is one class alone.

    Anchors are random voxels of the class in ``known``. The positive is the mean direction of labelled voxels of the
    class in the same network. Negatives are labelled voxels of other classes in both networks. Gradients reach the
    anchors alone. labels: ``[b z y x]``.
    """
    labelled, device = by_class(labels, classes), labels.device
    places, valid = voxels.draw(labels, classes, sizes.prototype)
    losses = []
    for view in views:
        uniform = torch.rand(classes, sizes.anchors, dtype=torch.float64, device=device)
        anchors = view.vectors(by_class(view.known, classes).inside(uniform))
        negative_places = draw_negatives(labelled, views, sizes)
        for number in range(classes):
            with torch.no_grad():
                positive = mean_direction(view.vectors(places[number]), valid[number])
                negatives = torch.cat(
                    [source.vectors(found[number]) for source, found in zip(views, negative_places, strict=True)], 1
                )
            losses.append(info_nce(anchors[number], positive, negatives, sizes.temperature))
    present = labelled.sizes > 0
    has_negatives = present & (labelled.sizes < labels.numel())
    means = torch.stack(losses).view(len(views), classes).mean(0)
    return torch.where(has_negatives, means, 0).sum() / present.sum()


def draw_negatives(labelled: Groups, views: Sequence[View], sizes: Sizes) -> list[Tensor]:
    """Random labelled places of other classes, ``[k m n]`` for each network; the n sum up to the number of negatives.

    Each negative comes from either network with the same probability. The host decides this once for all anchors, so
    that it knows n; for a single anchor the result is a draw with replacement from the voxels of both networks.
    """
    owners = torch.randint(len(views), (sizes.negatives,))
    shape, device = (len(labelled.sizes), sizes.anchors), labelled.places.device
    numbers = torch.bincount(owners, minlength=len(views)).tolist()
    return [labelled.outside(torch.rand(*shape, number, dtype=torch.float64, device=device)) for number in numbers]


def mean_direction(vectors: Tensor, valid: Tensor) -> Tensor:
    """Unit vector ``[d]`` in the mean direction of those vectors ``[n d]`` whose ``valid`` ``[n]`` is True."""
    return F.normalize((F.normalize(vectors, dim=1) * valid.unsqueeze(1)).sum(0), dim=0)
