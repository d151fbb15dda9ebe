"""Memory of the newest vectors of each class."""

import torch
from torch import Tensor, nn

from semiseg.errors import UserError


class ClassMemory(nn.Module):
    """A ring of ``size`` vectors per class; buffers: ``vectors`` ``[k size d]``, ``written`` ``[k]`` so far.

    Raises UserError for a size below 1.
    """

    vectors: Tensor
    written: Tensor

    def __init__(self, classes: int, size: int, dimension: int) -> None:
        super().__init__()
        if size < 1:
            raise UserError(f"the memory of each class must hold 1 or more vectors; found {size}")
        self.register_buffer("vectors", torch.zeros(classes, size, dimension))
        self.register_buffer("written", torch.zeros(classes, dtype=torch.long))

    @torch.no_grad()
    def push(self, vectors: Tensor, classes: Tensor, valid: Tensor) -> None:
        """Take in the valid ones of vectors ``[n d]``, class ids ``[n]``; each overwrites the oldest of its class."""
        number, size, _ = self.vectors.shape
        member = (classes.unsqueeze(1) == torch.arange(number, device=classes.device)) & valid.unsqueeze(1)
        ranks = member.cumsum(0)  # 1 for the first of its class
        total, rank = ranks[-1], ranks.gather(1, classes.unsqueeze(1)).squeeze(1)
        kept = valid & (rank > total[classes] - size)  # of more than the ring holds only the last ones
        place = classes * size + (self.written[classes] + rank - 1) % size
        ring = torch.cat(
            [self.vectors.flatten(0, 1), torch.zeros_like(self.vectors[0, :1])]
        )  # a spare place at the end
        ring[torch.where(kept, place, number * size)] = vectors.to(ring.dtype)
        self.vectors, self.written = ring[:-1].view_as(self.vectors), self.written + total

    @property
    def filled(self) -> Tensor:
        """Number of vectors of each class that the ring holds, ``[k]``."""
        return self.written.clamp(max=self.vectors.shape[1])

    def means(self) -> Tensor:
        """Mean vector of each class, ``[k d]``; zeros for a class without any."""
        return self.vectors.sum(1) / self.filled.clamp(min=1).unsqueeze(1)
