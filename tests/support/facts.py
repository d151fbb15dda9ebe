"""Facts of a run for tests of single methods."""

from collections.abc import Sequence

from semiseg.learning.build import Facts


def facts(voxels: Sequence[float], patch: tuple[int, int, int] = (16, 32, 32)) -> Facts:
    """Two labelled cases that have these voxels per class together, four unlabelled ones, windows like the crops."""
    half = [0.5 * count for count in voxels]
    return Facts([half, half], unlabelled_cases=4, patch=patch, window=patch)
