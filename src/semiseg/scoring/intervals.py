"""Bootstrap intervals of a row's numbers: what other test cases, and other seeds, might have given."""

import numpy as np
import pandas as pd

from semiseg.scoring.averages import Scores, estimate, per_case

LEVEL = 0.95
DRAWS = 10_000
SEED = 20_260_101  # always the same draws, so that the same scores give the same bytes and all rows the same cases
FEWEST_CASES = 2


def bootstrap(scores: Scores, less: Scores | None = None) -> pd.DataFrame:
    """Percentile interval of every number of a row; index as ``Scores.columns``, columns low and high.

    less: another row of the same cases, with as many runs; the interval then is that of the difference, of which both
    numbers come from the same draw.

    Cases are drawn with replacement, the same for all runs of a draw; where there are several runs, these are drawn
    with replacement too and independently (every run has every case). The statistic is exactly the rule's. NaN with
    fewer than two cases that count.
    """
    generator = np.random.default_rng(SEED)
    runs, cases = scores.values.shape[:2]
    drawn_cases = generator.multinomial(cases, np.full(cases, 1 / cases), size=DRAWS).astype(float)
    drawn_runs = generator.multinomial(runs, np.full(runs, 1 / runs), size=DRAWS).astype(float)
    numbers = estimate(scores, drawn_cases, drawn_runs)
    if less is not None:
        numbers = numbers - estimate(less, drawn_cases, drawn_runs)
    tail = (1 - LEVEL) / 2
    known = per_case(scores).notna().sum() >= FEWEST_CASES
    low, high = (_quantiles(numbers, share) for share in (tail, 1 - tail))
    return pd.DataFrame({"low": low, "high": high}, index=scores.columns).where(known, axis="index")


def _quantiles(numbers: np.ndarray, share: float) -> list[float]:
    """Quantile of each column; a draw without any case that counts is left out."""
    kept = (column[~np.isnan(column)] for column in numbers.T)
    return [float(np.quantile(column, share)) if len(column) else float("nan") for column in kept]
