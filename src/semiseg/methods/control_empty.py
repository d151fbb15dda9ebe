"""Negative control: predicts background everywhere, so it must rank last in every table. It is not a method."""

import numpy as np

from semiseg.control import Control, Labels


class ControlEmpty(Control):
    """Finds no organ."""

    def labels(self, truth: Labels) -> Labels:
        """Background in every voxel."""
        return np.zeros_like(truth)
