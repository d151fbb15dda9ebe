"""Negative control: predicts background everywhere, so it must rank last in every table. It is not a method."""

from torch import Tensor

from semiseg.method import Method


class ControlEmpty(Method):
    """Has no networks and is never trained."""

    def predict(self, image: Tensor, networks: tuple[str, ...], truth: Tensor | None = None) -> Tensor:
        """Background with certainty, ``[b k z y x]`` for a window ``[b c z y x]``."""
        scores = image.new_zeros(len(image), self.context.classes, *image.shape[2:])
        scores[:, 0] = 1
        return scores
