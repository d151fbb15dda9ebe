"""Memory and correlations of CAML: what labelled voxels were like, and how alike unlabelled ones are to them.

Source: Herschel555/CAML: code/train_caml.py, code/utils/correlation.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EMPTY = 255  # class of a voxel that is not stored


def distinct(count: int, size: int) -> Tensor:
    """``size`` different random numbers below ``count``, int64 ``[size]``; size is at most count."""
    found: dict[int, None] = {}
    while len(found) < size:
        found |= dict.fromkeys(torch.randint(count, (size,)).tolist())
    return torch.tensor(list(found)[:size])


def official_layout(embedding: Tensor) -> Tensor:
    """The numbers of each map ``[b c z y x]`` in their order in memory, cut into rows of c: ``[b zyx c]``.

    A row holds neighbouring voxels of one channel, or of two. The script reads the auxiliary network's maps so where it
    fills the memory, and takes a row for the vector of a voxel.
    """
    return embedding.reshape(len(embedding), -1, embedding.shape[1])


def vectors(embedding: Tensor) -> Tensor:
    """The vector of each voxel of maps ``[b c z y x]``: ``[b zyx c]``."""
    return embedding.flatten(2).transpose(1, 2)


class FeatureMemory(nn.Module):
    """A slot per labelled case: the vectors of the voxels of its newest crop that both networks classify correctly.

    The buffers are ``features`` ``[slots voxels d]`` and ``classes`` ``[slots voxels]`` (uint8, ``EMPTY`` where nothing
    is stored). voxels: those of a crop; size: vectors of each class in a sample. With 16 crops of 112 x 112 x 80 voxels
    and 32 numbers a vector the features take 2.1 GB, so both are meant to stay in main memory.
    """

    features: Tensor
    classes: Tensor

    def __init__(self, slots: int, voxels: int, dimension: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("features", torch.zeros(slots, voxels, dimension))
        self.register_buffer("classes", torch.full((slots, voxels), EMPTY, dtype=torch.uint8))

    @torch.no_grad()
    def store(self, slot: int, features: Tensor, labels: Tensor, kept: Tensor) -> None:
        """Replace what a slot holds by the features ``[n d]`` of the n voxels that are kept.

        labels: class ids ``[voxels]``; kept: bool ``[voxels]``.
        """
        places = kept.nonzero().squeeze(1).to(self.features.device)
        self.features[slot, places] = features.to(self.features)
        self.classes[slot] = torch.where(kept, labels, EMPTY).to(self.classes)

    def sample(self, classes: int) -> list[Tensor | None]:
        """``size`` random stored vectors ``[size d]`` of each class, all different; None for a class that has fewer."""
        found: list[Tensor | None] = []
        stored, features = self.classes.flatten(), self.features.flatten(0, 1)
        for number in range(classes):
            places = (stored == number).nonzero().squeeze(1)
            enough = len(places) >= self.size
            found.append(features[places[distinct(len(places), self.size)]] if enough else None)
        return found


def most_probable(scores: Tensor, predicted: Tensor, classes: int, size: int) -> Tensor:
    """Places ``[n]`` of the ``size`` voxels of each class that score highest, class by class, the highest first.

    A class of which a single voxel is left gives none. scores, predicted: ``[v]``.
    """
    found = []
    for number in range(classes):
        places = (predicted == number).nonzero().squeeze(1)
        best = places[scores[places].argsort(descending=True, stable=True)[:size]]
        found.append(best if len(best) > 1 else best[:0])
    return torch.cat(found)


def correlations(features: Tensor, memory: Sequence[Tensor | None], temperature: float) -> Tensor | None:
    """Softmax over all vectors m of the memory of f . m / T, ``[n m]``, of features ``[n d]``; None without both.

    memory: vectors of each class, None where there are too few.
    """
    known = [each.to(features) for each in memory if each is not None]
    if not known or not len(features):
        return None
    return (features @ torch.cat(known).T / temperature).softmax(1)


def correlation_loss(vanilla: Tensor | None, auxiliary: Tensor | None) -> Tensor:
    """-mean over rows of the sum over columns of a ln(v + 1e-8), of correlations ``[n m]``; 0 if there are none."""
    if vanilla is None or auxiliary is None:
        return torch.zeros(())
    return -(auxiliary * (vanilla + 1e-8).log()).sum(1).mean()
