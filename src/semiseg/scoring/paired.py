"""Two rows of tables on the same test cases: differences per case, organ and column, with intervals and tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.scoring.averages import Scores, estimate, mean, per_case
from semiseg.scoring.comparison import DECIMALS, FEWEST_PAIRS, compare
from semiseg.scoring.intervals import confidence

DICE = "dice"


@dataclass(frozen=True)
class Line:
    """One column of both rows: an organ's Dice, or a mean by its name in print.

    first, second: the numbers of the rows on the common cases. difference: first minus second, with a 95 % interval low
    to high. p: of Wilcoxon's signed-rank test over cases, NaN with fewer than six pairs that differ; pairs: cases with
    a number in both; better, worse: cases in which the first row is better and worse.
    """

    column: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    pairs: int
    better: int
    worse: int

    @property
    def why_undefined(self) -> str:
        """Why there is no p, in words; nothing where there is one."""
        if not np.isnan(self.p):
            return ""
        if self.better + self.worse < FEWEST_PAIRS and self.pairs >= FEWEST_PAIRS:
            return "undefined: too few cases differ"
        return "undefined: too few cases"


@dataclass(frozen=True)
class Pairs:
    """lines: a line per column. cases: the difference of each case, index case, a column per organ and ``mean``: Dice,
    percent, averaged over runs; sorted by the size of ``mean``, the largest first; NaN where a row has no number.

    first, second: the same form, the Dice of each row. runs: of each row, which intervals cover, too; None where the
    rows have different numbers of runs, which then are averaged.
    """

    lines: tuple[Line, ...]
    cases: pd.DataFrame
    first: pd.DataFrame
    second: pd.DataFrame
    runs: int | None


def pair(first: Scores, second: Scores) -> Pairs:
    """Compare two rows on the cases and organs that both have; there must be one of each."""
    cases = sorted(set(first.cases) & set(second.cases))
    organs = [organ for organ in first.organs if organ in second.organs]
    one, other = (_within(scores, cases, organs) for scores in (first, second))
    runs = len(one.values) if len(one.values) == len(other.values) else None
    if runs is None:
        one, other = (replace(scores, values=mean(scores.values, axis=0)[None]) for scores in (one, other))
    intervals = confidence(one, other)
    numbers = [estimate(scores, *_once(scores))[0] for scores in (one, other)]
    values = [per_case(scores) for scores in (one, other)]
    columns = [name for name in one.columns if name not in METRICS or name == DICE or values[0][name].notna().any()]
    if len(organs) == 1:
        columns = [name for name in columns if name in METRICS]  # a single organ is the mean itself
    places = {name: place for place, name in enumerate(one.columns)}
    lines = tuple(
        _line(name, [float(own[places[name]]) for own in numbers], intervals, [own[name] for own in values])
        for name in columns
    )
    tables = [own[[*organs, DICE]].rename(columns={DICE: "mean"}) for own in values]
    difference = tables[0] - tables[1]
    order = difference["mean"].abs().sort_values(ascending=False, kind="stable").index
    return Pairs(lines, difference.loc[order], tables[0], tables[1], runs)


def _within(scores: Scores, cases: Sequence[str], organs: Sequence[str]) -> Scores:
    """The scores of some cases and organs alone."""
    rows = [scores.cases.index(case) for case in cases]
    places = [scores.organs.index(organ) for organ in organs]
    return replace(scores, cases=tuple(cases), organs=tuple(organs), values=scores.values[:, rows][:, :, places])


def _once(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Weights with which each case and run counts once."""
    runs, cases = scores.values.shape[:2]
    return np.ones((1, cases)), np.ones((1, runs))


def _line(name: str, numbers: list[float], intervals: pd.DataFrame, values: list[pd.Series]) -> Line:
    column = next((shown for metric, shown in METRICS.items() if metric == name), name)
    lower = column in LOWER_IS_BETTER
    test = compare(values[0], values[1], lower_is_better=lower)
    gains = (values[0] - values[1]).dropna().round(DECIMALS) * (-1 if lower else 1)
    first, second = numbers
    low, high = (float(intervals[end][name]) for end in ("low", "high"))
    counts = test.pairs, int((gains > 0).sum()), int((gains < 0).sum())
    return Line(column, first, second, first - second, low, high, test.p, *counts)
