"""From measurements (``cases.csv``) to the numbers of a table's row, by a named rule of ``scoring_rules.py``."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from semiseg.base.metric_names import METRICS
from semiseg.scoring.averages import Array, Scores, gather, mean
from semiseg.scoring.bootstrap import resampled
from semiseg.scoring.scoring_rules import JACCARD, Spread, Unit


@dataclass(frozen=True)
class Summary:
    """Runs of one row of a table, scored by one rule.

    organs: index organ abbreviation in the order of the score table, columns dice and jaccard (percent), asd and hd95
        (in ``unit``), averaged over runs; NaN where the rule does not define a metric or no case has the organ.
    means: overall mean of each metric. spreads: population standard deviation over cases, over runs, or over the means
        of resampled cases (`semiseg.scoring.bootstrap`).
    cases: test cases of a run. absent: pairs of case and organ where the truth has no such organ, in one run (all runs
        share the truth). missed: pairs where the truth has the organ and the prediction has none of it, in all runs
        together. false_positive: pairs where only the prediction has it, in all runs together.
    """

    rule: str
    organs: pd.DataFrame
    means: dict[str, float]
    spreads: dict[str, float]
    spread_over: Spread
    cases: int
    absent: int
    missed: int
    false_positive: int
    unit: Unit


def score(
    rule: str, runs: Sequence[pd.DataFrame], spread: Spread | None = None, organs: Sequence[str] | None = None
) -> Summary:
    """Score the runs (seeds) of one row of a table.

    rule, runs, organs: as of `semiseg.scoring.averages.gather`, whose errors it raises. The order of the cases of the
        first run decides which ones a bootstrap draws. spread: what spreads are over; default: what the rule says.
    A run is aggregated first; then means, per-organ means and spreads over cases are averaged over runs. A spread over
    runs is NaN for a single run.
    """
    scores = gather(rule, runs, organs)
    over = spread or scores.rule.spread_over
    per_organ = mean(scores.values, axis=1)  # [run organ metric]
    means = mean(per_organ, axis=1)  # [run metric]
    per_case = mean(scores.values, axis=2)  # [run case metric]
    if scores.rule.jaccard_over == "cases":
        means[:, JACCARD] = mean(per_case[..., JACCARD], axis=1)
    if over == "runs":
        spreads = _deviation(means, axis=0) if len(runs) > 1 else np.full_like(means[0], np.nan)
    elif over == "cases":
        spreads = mean(_deviation(per_case, axis=1), axis=0)
    else:
        order = _order(scores, runs[0])
        spreads = mean(np.stack([_deviation(resampled(run[order]), axis=0) for run in per_case]), axis=0)
    empty = scores.empty.sum()
    return Summary(
        rule=rule,
        organs=pd.DataFrame(mean(per_organ, axis=0), index=list(scores.organs), columns=list(METRICS)),
        means=_by_name(mean(means, axis=0)),
        spreads=_by_name(spreads),
        spread_over=over,
        cases=len(scores.cases),
        absent=int(empty["absent"]),
        missed=int(empty["missed"]),
        false_positive=int(empty["false_positive"]),
        unit=scores.rule.unit,
    )


def _deviation(values: Array, axis: int) -> Array:
    """Population standard deviation along an axis, NaN left out; NaN where all are."""
    distances = values - np.expand_dims(mean(values, axis), axis)
    return np.sqrt(mean(distances**2, axis))


def _order(scores: Scores, run: pd.DataFrame) -> list[int]:
    """Places of the cases in the order of a run's score table."""
    places = {case: place for place, case in enumerate(scores.cases)}
    return [places[case] for case in dict.fromkeys(run["case"]) if case in places]


def _by_name(values: Array) -> dict[str, float]:
    return dict(zip(METRICS, values.tolist(), strict=True))
