"""Memories that keep the newest vectors of each class.

``ClassMemory`` is a ring buffer of fixed size. Its input tensors have a fixed size too, and a mask marks their valid
vectors. ``MemoryBank`` grows up to a limit. It is meant for large memories, and for input tensors that contain valid
vectors alone, so that the CPU knows their number.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError


class ClassMemory(nn.Module):
    """Ring buffer of ``size`` vectors per class.

    The buffer ``vectors`` is ``[k size d]``. The buffer ``written`` ``[k]`` counts the vectors that were ever pushed to
    each class. Raises UserError for a size below 1.
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
        """Store the valid vectors ``[n d]`` with class ids ``[n]``; each overwrites the oldest one of its class."""
        class_count, size, _ = self.vectors.shape
        member = (classes.unsqueeze(1) == torch.arange(class_count, device=classes.device)) & valid.unsqueeze(1)
        ranks = member.cumsum(0)  # position of each vector among those of its class, from 1
        total, rank = ranks[-1], ranks.gather(1, classes.unsqueeze(1)).squeeze(1)
        kept = valid & (rank > total[classes] - size)  # of more than ``size`` vectors of a class only the last
        place = classes * size + (self.written[classes] + rank - 1) % size
        spare = torch.zeros_like(self.vectors[0, :1])  # row to which the vectors that are not kept are written
        ring = torch.cat([self.vectors.flatten(0, 1), spare])
        ring[torch.where(kept, place, class_count * size)] = vectors.to(ring.dtype)
        self.vectors, self.written = ring[:-1].view_as(self.vectors), self.written + total

    @property
    def filled(self) -> Tensor:
        """Number of vectors of each class that the ring holds, ``[k]``."""
        return self.written.clamp(max=self.vectors.shape[1])

    def means(self) -> Tensor:
        """Mean vector of each class, ``[k d]``; zeros for a class without vectors."""
        return self.vectors.sum(1) / self.filled.clamp(min=1).unsqueeze(1)


class MemoryBank(nn.Module):
    """Memory of the newest ``sizes[k]`` vectors of each class k, oldest first.

    The buffers ``queue0``, ``queue1``, ... of shape ``[n d]`` start empty and grow. The CPU therefore knows their
    lengths, memory is allocated only as they fill, and the state file contains no padding.
    """

    def __init__(self, sizes: Sequence[int], dimension: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        for number in range(len(self.sizes)):
            self.register_buffer(f"queue{number}", torch.zeros(0, dimension))

    def queue(self, number: int) -> Tensor:
        """Vectors ``[n d]`` of the class ``number``, float32, oldest first."""
        return self.get_buffer(f"queue{number}")

    @torch.no_grad()
    def push(self, number: int, vectors: Tensor) -> None:
        """Append vectors ``[n d]`` to the queue of the class ``number``. The oldest beyond its size are removed."""
        size, queue = self.sizes[number], self.queue(number)
        vectors = vectors[-size:].to(queue.dtype)
        kept = queue[max(0, len(queue) + len(vectors) - size) :]
        setattr(self, f"queue{number}", torch.cat([kept, vectors]))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Resize the queues to their stored lengths first, because torch loads into buffers of the same shape only."""
        for name, queue in list(self.named_buffers()):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, queue.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *others)
