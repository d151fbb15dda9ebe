"""Base of the methods whose loaders bring images to the range 0..1: crln and tracoco.

Their codes take the range of the whole stored volume. A method sees crops and windows alone, so each of them is brought
to 0..1 by itself.
"""

from torch import Tensor

from semiseg.blocks.intensity import LOADING, shown
from semiseg.method import Hyper, Method


class UnitRange(Method):
    """``losses`` passes its batch through ``semiseg.blocks.intensity.loaded`` with ``self.loading``."""

    loading = Hyper(
        "brightness",
        "what becomes of stored crops: nothing, the range 0..1, or that range and then a random brightness",
        "yyliu01/TraCoCo: Code/VnetLA, Code/UnetBRATS: brightness, of whole volumes; Code/VnetPancreas: range",
        LOADING,
    )

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """Class probabilities ``[b k z y x]`` of windows, each brought to the range of training."""
        return super().predict(shown(image, self.loading), networks)
