"""Confidence intervals of a row's numbers, over test cases and over runs.

Few scores, of which some are far below the others, make the usual intervals too narrow. ``semiseg.scoring.coverage``
simulates how often this one holds the true number.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semiseg.scoring.averages import Scores
from semiseg.scoring.influence import Influence, influence

Array = NDArray[Any]
LEVEL = 0.95
FEWEST_CASES = 3  # with two the interval is as wide as the scale
FEW_CASES = 10  # with fewer, a kind of failure that one case in ten has is mostly not among them
LONGEST = ("asd", "hd95")  # distances, which no number bounds from above


def confidence(scores: Scores, less: Scores | None = None) -> pd.DataFrame:
    """Interval of every number of a row; index as ``Scores.columns``, columns low and high.

    less: another row of the same cases, with as many runs; the interval then is that of the difference.

    The squared standard error is the jackknife's over cases, plus that over runs where there are several. Student's t
    has the degrees of freedom of Satterthwaite (1946). On the side to which the cases are skewed, the interval is
    longer by Johnson's (1978) correction; so it is nowhere narrower than Student's. Percentages end at 0 and 100,
    distances at 0. NaN with fewer than three cases that count.
    """
    found = influence(scores)
    if less is not None:
        found = found.less(influence(less))
    low, high = limits(found)
    if less is None:
        ends = [np.inf if name in LONGEST else 100.0 for name in scores.columns]
        low, high = np.maximum(low, 0.0), np.minimum(high, ends)
    return pd.DataFrame({"low": low, "high": high}, index=scores.columns)


def limits(found: Influence) -> tuple[Array, Array]:
    """Low and high end ``[column]`` of what ``influence`` found, without the ends of the scale."""
    over_cases, over_runs = found.variances()
    variance = over_cases + over_runs
    reach = student_quantile(freedom(over_cases, over_runs, found.counted, len(found.by_run)), (1 + LEVEL) / 2)
    shift = _skewness(found.by_case, variance) * (1 / 6 + reach**2 / 3)
    half = reach * np.sqrt(variance)
    known = found.counted >= FEWEST_CASES
    low, high = found.numbers - half + np.minimum(shift, 0.0), found.numbers + half + np.maximum(shift, 0.0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def freedom(over_cases: Array, over_runs: Array, cases: Array, runs: int) -> Array:
    """Degrees of freedom of a sum of squared errors over cases and over runs (Satterthwaite 1946); at least 1."""
    of_cases = np.maximum(cases - 1, 1)
    if runs == 1:
        return np.asarray(of_cases, float)
    spread = over_cases**2 / of_cases + over_runs**2 / (runs - 1)
    return np.asarray(np.where(spread > 0, (over_cases + over_runs) ** 2 / np.where(spread > 0, spread, 1.0), of_cases))


def student_quantile(degrees: Array, share: float) -> Array:
    """Quantile of Student's t; degrees need not be whole."""
    from scipy.special import stdtrit  # here: a job that has no table to make does not wait for it

    return np.asarray(stdtrit(degrees, share))


def _skewness(by_case: Array, variance: Array) -> Array:
    """Third cumulant of the number over its variance ``[column]``; 0 where nothing varies."""
    cases = len(by_case)
    if cases < FEWEST_CASES:
        return np.zeros(by_case.shape[1])
    third = (by_case**3).sum(axis=0) / (cases * (cases - 1) * (cases - 2))
    return np.where(variance > 0, third / np.where(variance > 0, variance, 1.0), 0.0)
