"""Whether a method differs from the reference on the same cases: Wilcoxon's signed-rank test, Holm's correction."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEVEL = 0.05
FEWEST_PAIRS = 6  # five pairs cannot reach 0.05: the smallest two-sided p is 2 / 2^5
DECIMALS = 9  # differences below are rounding errors of the means, and count as none


@dataclass(frozen=True)
class Comparison:
    """A test of one method against the reference.

    p: two-sided, NaN with fewer than six pairs that differ. effect: from -1 to 1, positive where the method is better.
    pairs: cases that have a number in both.
    """

    p: float
    effect: float
    pairs: int


def compare(method: pd.Series, reference: pd.Series, *, lower_is_better: bool) -> Comparison:
    """Test a method against the reference, case by case (index: case); a case without a number in either is left out.

    Pairs that do not differ are dropped before ranking (Wilcoxon 1945). p is exact for up to 50 pairs without ties and
    up to 13 with ties, else from the normal approximation with ties corrected (scipy's ``auto``). The effect is the
    matched-pairs rank-biserial correlation (Kerby 2014), (R+ - R-) / (R+ + R-), R+ and R- the sums of the ranks of
    absolute differences where the method is better and worse; 0 where no pair differs, NaN without pairs.
    """
    gains = (method - reference).dropna().to_numpy(float).round(DECIMALS) * (-1 if lower_is_better else 1)
    differing = gains[gains != 0]
    if not len(differing):
        return Comparison(float("nan"), 0.0 if len(gains) else float("nan"), len(gains))
    ranks = pd.Series(np.abs(differing)).rank().to_numpy()
    effect = float((ranks * np.sign(differing)).sum() / ranks.sum())
    p = _wilcoxon(differing) if len(differing) >= FEWEST_PAIRS else float("nan")
    return Comparison(p, effect, len(gains))


def _wilcoxon(differing: NDArray[np.float64]) -> float:
    from scipy import stats  # here: this import takes longer than all else in a table that has nothing to test

    return float(stats.wilcoxon(differing).pvalue)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """p values corrected for their number (Holm 1979); NaN stays NaN and does not count.

    The smallest of n is multiplied by n, the next by n - 1, and so on. None becomes smaller than one before it, or
    larger than 1.
    """
    ordered = sorted((name for name in p if not np.isnan(p[name])), key=lambda name: p[name])
    factors = np.arange(len(ordered), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(factors * [p[name] for name in ordered]), 1.0)
    return dict.fromkeys(p, float("nan")) | dict(zip(ordered, map(float, corrected), strict=True))
