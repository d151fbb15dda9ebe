"""The values that a rule averages, as one array, and its averages of them under any weights of cases and runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semiseg.base.metric_names import METRICS
from semiseg.scoring.scoring_rules import Rule, get_rule

Array = NDArray[Any]
EMPTY_ORGANS = ("absent", "missed", "false_positive")


@dataclass(frozen=True)
class Scores:
    """Runs of one row of a table under one rule.

    values: ``[run case organ metric]``, percent, voxels or mm by the rule; NaN is left out. cases: sorted ids.
    empty: index organ, columns absent (pairs of case and organ in one run), missed, false_positive (in all runs).
    """

    rule: Rule
    cases: tuple[str, ...]
    organs: tuple[str, ...]
    values: Array
    empty: pd.DataFrame

    @property
    def columns(self) -> list[str]:
        """Names along the last axis of what follows from scores: the organs (their Dice), then the metrics' means."""
        return [*self.organs, *METRICS]


def gather(rule: str, runs: Sequence[pd.DataFrame], organs: Sequence[str]) -> Scores:
    """Score the runs of a row, the given organs alone.

    runs: score tables of `semiseg.scoring.cases.read_cases`, all of the same cases, as
        `semiseg.scoring.score.score` has checked.
    """
    definition = get_rule(rule)
    tables = [run[(run["grid"] == definition.grid) & run["organ"].isin(organs)] for run in runs]
    cases = tuple(sorted(set(tables[0]["case"])))
    places = pd.MultiIndex.from_product([cases, organs])
    shape = (len(tables), len(cases), len(organs), len(METRICS))
    values = [
        definition.values(table).set_index(["case", "organ"])[list(METRICS)].reindex(places).to_numpy(float)
        for table in tables
    ]
    counted = [_count_empty(table).reindex(list(organs)) for table in tables]
    empty = sum(counted[1:], counted[0]).assign(absent=counted[0]["absent"])
    return Scores(definition, cases, tuple(organs), np.stack(values).reshape(shape), empty)


def _count_empty(table: pd.DataFrame) -> pd.DataFrame:
    present, predicted = table["truth_voxels"] > 0, table["predicted_voxels"] > 0
    pairs = (~present, present & ~predicted, ~present & predicted)
    return pd.DataFrame(dict(zip(EMPTY_ORGANS, pairs, strict=True))).groupby(table["organ"]).sum()


def estimate(scores: Scores, cases: Array, runs: Array) -> Array:
    """The numbers of the row, in the order of ``columns``, once per draw: ``[draw column]``; NaN where nothing counts.

    cases, runs: how often each counts, ``[draw case]`` and ``[draw run]``; ones give the numbers of
        `semiseg.scoring.score.score`.
    A run is averaged by the rule (over cases, then organs; Jaccard perhaps the other way), then runs are averaged.
    """
    defined = ~np.isnan(scores.values)
    filled = np.where(defined, scores.values, 0.0)
    per_organ = _divide(*(np.tensordot(cases, part, axes=(1, 1)) for part in (filled, defined.astype(float))))
    means = mean(per_organ, axis=2)
    if scores.rule.jaccard_over == "cases":
        place = list(METRICS).index("jaccard")
        per_case = mean(scores.values[..., place], axis=2)  # [run case]
        known = ~np.isnan(per_case)
        means[:, :, place] = _divide(cases @ np.where(known, per_case, 0.0).T, cases @ known.T.astype(float))
    per_run = np.concatenate([per_organ[..., list(METRICS).index("dice")], means], axis=-1)
    weights = runs[:, :, None] * ~np.isnan(per_run)
    return _divide((weights * np.nan_to_num(per_run)).sum(1), weights.sum(1))


def per_case(scores: Scores) -> pd.DataFrame:
    """One number per case and column, averaged over runs: an organ's Dice, or a metric averaged over the case's organs.

    Index case, columns as ``columns``; NaN where nothing of the case counts.
    """
    organs = scores.values[..., list(METRICS).index("dice")]
    both = np.concatenate([organs, mean(scores.values, axis=2)], axis=-1)
    return pd.DataFrame(mean(both, axis=0), index=list(scores.cases), columns=scores.columns)


def mean(values: Array, axis: int) -> Array:
    """Mean along an axis, NaN left out; NaN where all are."""
    return _divide(np.nansum(values, axis), (~np.isnan(values)).sum(axis))


def _divide(sums: Array, counts: Array) -> Array:
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
