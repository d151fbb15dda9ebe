"""How far each test case and each run moves the numbers of a row: the jackknife, under any rule of averaging."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.scoring.averages import Scores, estimate, per_case

Array = NDArray[Any]


@dataclass(frozen=True)
class Influence:
    """Numbers of a row, or the differences of two rows, and what each case and each run adds to them.

    numbers: ``[column]``, in the order of ``Scores.columns``. by_case: ``[case column]``, by_run: ``[run column]``;
    their column sums are 0. Of a plain mean they are the values less their mean. counted: ``[column]``, cases that have
    a number. A column that is undefined is NaN throughout.
    """

    numbers: Array
    by_case: Array
    by_run: Array
    counted: Array

    def variances(self) -> tuple[Array, Array]:
        """Squared standard errors ``[column]``: over cases, and over runs (0 with one run)."""
        return _squared_error(self.by_case), _squared_error(self.by_run)

    def less(self, other: "Influence") -> "Influence":
        """The difference to another row of the same cases, with as many runs."""
        parts = (self.numbers - other.numbers, self.by_case - other.by_case, self.by_run - other.by_run)
        return Influence(*parts, np.minimum(self.counted, other.counted))


def influence(scores: Scores) -> Influence:
    """The jackknife of a row (Tukey 1958): each case, and each run, is left out once, and the rule averages the rest.

    Left out of n, one moves the number by d; times n - 1, that is what it adds. A single case or run adds 0.
    """
    runs, cases = scores.values.shape[:2]
    every_case, every_run = np.ones((1, cases)), np.ones((1, runs))
    by_case = _added(estimate(scores, 1 - np.eye(cases), np.repeat(every_run, cases, axis=0)))
    by_run = _added(estimate(scores, np.repeat(every_case, runs, axis=0), 1 - np.eye(runs)))
    counted = per_case(scores).notna().sum().to_numpy()
    return Influence(estimate(scores, every_case, every_run)[0], by_case, by_run, counted)


def _added(without: Array) -> Array:
    """What each unit adds, from the numbers ``[unit column]`` without it."""
    if len(without) == 1:
        return np.zeros_like(without)
    added: Array = (len(without) - 1) * (without.mean(axis=0) - without)
    return added


def _squared_error(added: Array) -> Array:
    units = len(added)
    squares: Array = (added**2).sum(axis=0) / max(units * (units - 1), 1)
    return squares
