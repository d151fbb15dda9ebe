"""Positive control: predicts the truth, so it must rank first in every table. It checks the scoring; not a method."""

from torch import Tensor

from semiseg.blocks.losses import one_hot
from semiseg.method import Method


class ControlPerfect(Method):
    """Receives the truth at inference; has no networks and is never trained."""

    oracle = True

    def predict(self, image: Tensor, networks: tuple[str, ...], truth: Tensor | None = None) -> Tensor:
        """One-hot truth ``[b k z y x]`` of class ids ``[b z y x]``."""
        assert truth is not None  # ``oracle`` is set
        return one_hot(truth, self.context.classes).to(image.dtype)
