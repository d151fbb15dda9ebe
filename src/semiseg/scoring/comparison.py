"""Whether a method differs from the reference on the same cases: Wilcoxon's signed-rank test, Holm's correction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEVEL = 0.05
FEWEST_PAIRS = 6  # five pairs cannot reach 0.05: the smallest two-sided p is 2 / 2^5
DECIMALS = 9  # differences below are rounding errors of the means, and count as none
MOST_EXACT, MOST_TIED = 50, 13  # pairs without and with ties up to which p is exact, as scipy's ``auto`` has it


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
    up to 13 with ties, else scipy's normal approximation with ties corrected. The effect is the
    matched-pairs rank-biserial correlation (Kerby 2014), (R+ - R-) / (R+ + R-), R+ and R- the sums of the ranks of
    absolute differences where the method is better and worse; 0 where no pair differs, NaN without pairs.
    """
    gains = (method - reference).dropna().to_numpy(float).round(DECIMALS) * (-1 if lower_is_better else 1)
    differing = gains[gains != 0]
    if not len(differing):
        return Comparison(float("nan"), 0.0 if len(gains) else float("nan"), len(gains))
    ranks = pd.Series(np.abs(differing)).rank().to_numpy()
    effect = float((ranks * np.sign(differing)).sum() / ranks.sum())
    p = _two_sided_p(differing, ranks) if len(differing) >= FEWEST_PAIRS else float("nan")
    return Comparison(p, effect, len(gains))


def _two_sided_p(differing: NDArray[np.float64], ranks: NDArray[np.floating[Any]]) -> float:
    tied = len(np.unique(ranks)) < len(ranks)
    if len(ranks) <= (MOST_TIED if tied else MOST_EXACT):
        return _exact_p(differing, ranks)
    from scipy import stats  # here: importing it costs as much as all drawings of a page

    return float(stats.wilcoxon(differing).pvalue)


def _exact_p(differing: NDArray[np.float64], ranks: NDArray[np.floating[Any]]) -> float:
    """Twice the smaller tail of R+ where each rank is equally likely to be that of a gain and of a loss; at most 1.

    With 50 pairs or fewer all chances are multiples of 2^-50, so no sum of them is rounded and p has scipy's bits.
    """
    doubled = (2 * ranks).astype(int)  # ties share a rank, which may be half of a whole number
    chances = np.ones(1)  # of each value of 2 R+
    for rank in doubled:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    found = int(doubled[differing > 0].sum())
    return float(min(2 * chances[: found + 1].sum(), 2 * chances[found:].sum(), 1.0))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """p values corrected for their number (Holm 1979); NaN stays NaN and does not count.

    The smallest of n is multiplied by n, the next by n - 1, and so on. None becomes smaller than one before it, or
    larger than 1.
    """
    ordered = sorted((name for name in p if not np.isnan(p[name])), key=lambda name: p[name])
    factors = np.arange(len(ordered), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(factors * [p[name] for name in ordered]), 1.0)
    return dict.fromkeys(p, float("nan")) | dict(zip(ordered, map(float, corrected), strict=True))
