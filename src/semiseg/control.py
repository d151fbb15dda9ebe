"""The contract of a control (a file ``semiseg.methods.control_*``): a row with a known answer, to check the scoring.

A control is not trained, and needs no torch. The shortest example is ``semiseg/methods/control_perfect.py``.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from semiseg import catalogue

Labels = NDArray[np.uint8]


class Control(ABC):
    """Base of all controls. A control has no hyperparameters, and draws no random numbers."""

    @abstractmethod
    def labels(self, truth: Labels) -> Labels:
        """The label map that the control predicts for a test case, from its truth; both have the stored axes."""


def control_class(name: str) -> type[Control]:
    """The one ``Control`` that the file ``semiseg/methods/<name>.py`` defines; import errors are raised."""
    return catalogue.load_class("methods", name, Control)  # type: ignore[type-abstract]
