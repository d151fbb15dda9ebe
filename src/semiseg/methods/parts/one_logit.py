"""Base of the methods whose networks have one logit where there is one organ, as the official codes do on LA.

The sigmoid of a logit z is the softmax of the pair (0, z). With more classes there is one logit per class (ours).
"""

import torch
from torch import Tensor

from semiseg.method import Method

BINARY = 2


class OneLogit(Method):
    """Networks of one channel for two classes, else of one channel per class."""

    @property
    def output_channels(self) -> int:
        """One per class, but a single one if there is a single organ."""
        return 1 if self.context.classes == BINARY else self.context.classes

    def class_logits(self, logits: Tensor) -> Tensor:
        """Logits of every class, float32 ``[b k z y x]``, from the output of a network."""
        logits = logits.float()
        return torch.cat([torch.zeros_like(logits), logits], 1) if self.context.classes == BINARY else logits

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """Class probabilities ``[b k z y x]``: softmax of the networks' mean logits."""
        logits = torch.stack([self.class_logits(self.get_submodule(name)(image)) for name in networks])
        return logits.mean(0).softmax(1)
