"""Positive control: predicts the truth, so it must rank first in every table. It checks the scoring; not a method."""

from semiseg.control import Control, Labels


class ControlPerfect(Control):
    """Finds every organ."""

    def labels(self, truth: Labels) -> Labels:
        """The truth itself."""
        return truth
