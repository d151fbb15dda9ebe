"""Long queues of vectors, one per class, that cost memory and state files only what they hold."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class MemoryBank(nn.Module):
    """First in, first out: the newest ``sizes[k]`` vectors of each class, oldest first.

    Buffers ``queue0``, ``queue1``, ... of shape ``[n d]`` start empty and grow, so lengths are known without asking the
    GPU, a short training allocates nothing, and the state file holds what there is. ``class_memory`` is for small rings
    that are filled from tensors of a fixed size.
    """

    def __init__(self, sizes: Sequence[int], dimension: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        for number in range(len(self.sizes)):
            self.register_buffer(f"queue{number}", torch.zeros(0, dimension))

    def queue(self, number: int) -> Tensor:
        """Vectors of a class, ``[n d]``, float32, oldest first."""
        return self.get_buffer(f"queue{number}")

    @torch.no_grad()
    def push(self, number: int, vectors: Tensor) -> None:
        """Append vectors ``[n d]`` to the queue of a class; the oldest ones beyond its size leave."""
        size, queue = self.sizes[number], self.queue(number)
        vectors = vectors[-size:].to(queue.dtype)
        kept = queue[max(0, len(queue) + len(vectors) - size) :]
        setattr(self, f"queue{number}", torch.cat([kept, vectors]))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Accept queues of any length: torch wants the shapes that are there."""
        for name, queue in list(self.named_buffers()):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, queue.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *others)
