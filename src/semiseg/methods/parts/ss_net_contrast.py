"""Class separation of SS-Net: voxels are pulled towards a small memory of vectors of their class.

Source: ycwu1997/SS-Net: code/utils/feature_memory.py, code/utils/contrastive_losses.py.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks import voxels

ORGAN = 1  # the first class with a memory: the background never has one


def head(width: int, dimension: int) -> nn.Sequential:
    """Linear, batch norm, ReLU, linear, for voxels ``[n width]``; a projection or prediction head."""
    layers = nn.Linear(width, dimension), nn.BatchNorm1d(dimension), nn.ReLU(), nn.Linear(dimension, dimension)
    return nn.Sequential(*layers)


def selector(dimension: int) -> nn.Sequential:
    """Linear, batch norm, leaky ReLU, linear: a score of each vector, ``[n 1]`` of ``[n d]``."""
    layers = nn.Linear(dimension, dimension), nn.BatchNorm1d(dimension), nn.LeakyReLU(0.2), nn.Linear(dimension, 1)
    return nn.Sequential(*layers)


def head_names(ours: str, official: str) -> dict[str, str]:
    """Layer with weights -> its official name, of a head or a selector."""
    return {f"{ours}.{layer}": f"{official}.{layer}" for layer in (0, 1, 3)}


class ClassSeparation(nn.Module):
    """Memory of up to ``size`` vectors of each organ, and two selectors per class: of features and of memory vectors.

    The buffers are ``memory`` ``[k size d]`` and ``stored`` ``[k]``, the number of vectors of each class. Class 0 has
    no memory, so its selectors are never trained; they exist in the official code too. Raises UserError for a size
    below 2, because a single vector is not used.
    """

    memory: Tensor
    stored: Tensor

    def __init__(self, classes: int, size: int, dimension: int) -> None:
        super().__init__()
        if size < 2:
            raise UserError(f"SSNet.memory must be 2 or more vectors per class; found {size}")
        self.selectors = nn.ModuleList(selector(dimension) for _ in range(classes))
        self.memory_selectors = nn.ModuleList(selector(dimension) for _ in range(classes))
        self.register_buffer("memory", torch.zeros(classes, size, dimension))
        self.register_buffer("stored", torch.zeros(classes, dtype=torch.long))

    def official_modules(self) -> dict[str, str]:
        """The names of the source."""
        found: dict[str, str] = {}
        for number in range(len(self.selectors)):
            found |= head_names(f"selectors.{number}", f"contrastive_class_selector_{number}")
            found |= head_names(f"memory_selectors.{number}", f"contrastive_class_selector_memory{number}")
        return found

    @torch.no_grad()
    def remember(self, features: Tensor, labels: Tensor) -> None:
        """Replace the memory of each organ in ``labels`` ``[n]`` by those of its features ``[n d]`` that score lowest.

        If it has ``size`` or fewer, all are kept in their order and nothing is scored. A class without features keeps
        its memory.
        """
        size = self.memory.shape[1]
        for number, own in self._by_organ(features, labels):
            if len(own) > size:
                own = own[self.selectors[number](own).float().sigmoid().squeeze(1).argsort(stable=True)[:size]]
            if len(own):
                self.memory[number, : len(own)] = own
                self.stored[number] = len(own)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Sum over the organs, divided by K, of mean_ij r_i (1 - cos(f_i, m_j)); features ``[n d]``, labels ``[n]``.

        f_i are the n features of the organ, m_j its memory; r_i = n a_i / S(a), where a_i is the sigmoid of the score
        of f_i without gradient to f_i. An organ with fewer than two features or memory vectors adds 0. The mean over j
        is taken first, of the normalised m_j, so no matrix of all distances is needed.
        """
        loss, stored = features.new_zeros((), dtype=torch.float32), self.stored.tolist()
        for number, own in self._by_organ(features, labels):
            if len(own) < 2 or stored[number] < 2:
                continue
            weights = self.selectors[number](own.detach()).float().sigmoid().squeeze(1)
            kept = F.normalize(self.memory[number, : stored[number]], dim=1)
            distances = 1 - (F.normalize(own.float(), dim=1) * kept.mean(0)).sum(1)
            loss = loss + (distances * weights).sum() / weights.sum() + self._no_gradient(number, kept)
        return loss / len(self.selectors)

    def _no_gradient(self, number: int, kept: Tensor) -> Tensor:
        """0 with a gradient of 0: the official weights of memory vectors are all 1, so that only weight decay acts."""
        scores: Tensor = self.memory_selectors[number](kept)
        return 0 * scores.float().sum()

    def _by_organ(self, features: Tensor, labels: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Each organ's number and features ``[n d]``; they are gathered at once, without the background."""
        places, counts = voxels.by_class(labels, len(self.selectors), ORGAN)
        return enumerate(torch.split(features.index_select(0, places), counts), ORGAN)
