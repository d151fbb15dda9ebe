"""Class-wise contrastive loss on the reliable voxels of two networks (HqCL of DVCL). The formula is ours, after U2PL.

All tensors have a fixed size, so that the CPU never waits for the GPU to count voxels. The loss is therefore computed
for classes that a crop lacks as well, and multiplied by 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.blocks import voxels
from semiseg.blocks.info_nce import Groups, by_class, info_nce


class View(NamedTuple):
    """One network: feature map ``[i c z y x]``, pointwise projection head, known class of each voxel ``[i z y x]``.

    Labelled items come first. The known class is the label in labelled items and the pseudo label in the others. The id
    K (the number of classes) marks a voxel whose pseudo label is unreliable.
    """

    feature: Tensor
    head: nn.Module
    known: Tensor

    def vectors(self, places: Tensor) -> Tensor:
        """Vectors ``[... d]`` of the head at places ``[...]`` of the flattened ``[i z y x]``."""
        found = voxels.vectors(self.head, self.feature, places.flatten())
        return found.view(*places.shape, found.shape[1])


class Sizes(NamedTuple):
    """Anchors per class, negatives per anchor, largest number of voxels in a prototype; temperature of InfoNCE."""

    anchors: int
    negatives: int
    prototype: int
    temperature: float


def class_contrast(views: Sequence[View], labels: Tensor, classes: int, sizes: Sizes) -> Tensor:
    """Mean of InfoNCE (``blocks.info_nce``) over the networks and over the classes that occur in ``labels``.

    Anchors are random voxels whose known class is the class in question. The positive (prototype) is the mean
    direction of labelled voxels of the class in the same network. Negatives are labelled voxels of other classes in
    both networks. Gradients flow through the anchors only. If ``labels`` holds a single class there are no negatives,
    and the result is 0. labels: ``[b z y x]``.
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
    """Places of random labelled voxels of other classes: for each network ``[k m n]``, n negatives of m anchors.

    The n of the networks add up to ``sizes.negatives``. The network of each negative is drawn on the CPU, with equal
    probabilities and once for all anchors, so that n is known without waiting for the GPU. For a single anchor this is
    a draw with replacement from the voxels of both networks.
    """
    network_ids = torch.randint(len(views), (sizes.negatives,))
    shape, device = (len(labelled.sizes), sizes.anchors), labelled.places.device
    numbers = torch.bincount(network_ids, minlength=len(views)).tolist()
    return [labelled.outside(torch.rand(*shape, number, dtype=torch.float64, device=device)) for number in numbers]


def mean_direction(vectors: Tensor, valid: Tensor) -> Tensor:
    """Unit vector ``[d]`` along the mean of the normalised vectors ``[n d]`` whose ``valid`` ``[n]`` is True."""
    return F.normalize((F.normalize(vectors, dim=1) * valid.unsqueeze(1)).sum(0), dim=0)
