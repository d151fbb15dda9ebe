"""The values that a rule averages, as one array, and its averages of them under any weights of cases and runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS
from semiseg.scoring.cases import COUNTS, KEYS, LENGTHS, require_columns
from semiseg.scoring.scoring_rules import DICE, JACCARD, Columns, Rule, get_rule

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


def gather(rule: str, runs: Sequence[pd.DataFrame], organs: Sequence[str] | None = None) -> Scores:
    """Score the runs (seeds) of a row.

    runs: score tables as `semiseg.scoring.cases.read_cases` gives them. organs: those that count, in the order wanted;
        default: all, in the order of the first table.
    Raises UserError for an unknown rule, for a table that lacks rows which the rule needs, and for runs of other cases,
    organs or truth than the first.
    """
    definition = get_rule(rule)
    names = [str(run.attrs.get("file", f"run {number} of {len(runs)}")) for number, run in enumerate(runs, 1)]
    if not runs:
        raise UserError(f"rule {rule}: no score tables were given, expected one per run: evaluate the runs first")
    places = [_places(run, definition.grid, organs, name) for run, name in zip(runs, names, strict=True)]
    chosen = tuple(dict.fromkeys(organ for _, organ in places[0]) if organs is None else organs)
    cases = tuple(sorted({case for case, _ in places[0]}))
    pairs = [(case, organ) for case in cases for organ in chosen]
    for rows, name in zip(places, names, strict=True):
        if rows.keys() != places[0].keys():
            raise _other(name, names[0])
    tables = [_columns(run, [rows[pair] for pair in pairs]) for run, rows in zip(runs, places, strict=True)]
    for table, name in zip(tables, names, strict=True):
        if not np.array_equal(table["truth_voxels"], tables[0]["truth_voxels"]):
            raise _other(name, names[0])
    shape = (len(runs), len(cases), len(chosen))
    values = np.stack([definition.values(table) for table in tables]).reshape(*shape, len(METRICS))
    present, predicted = (
        np.stack([table[name] > 0 for table in tables]).reshape(shape) for name in ("truth_voxels", "predicted_voxels")
    )
    counted = (~present[:1], present & ~predicted, ~present & predicted)
    empty = {name: mask.sum((0, 1)) for name, mask in zip(EMPTY_ORGANS, counted, strict=True)}
    return Scores(definition, cases, chosen, values, pd.DataFrame(empty, index=list(chosen)))


def _places(run: pd.DataFrame, grid: str, organs: Sequence[str] | None, name: str) -> dict[tuple[str, str], int]:
    """Row of each case and organ of a grid in a score table, checked to hold each organ of each case once."""
    require_columns(run, name)
    lines = list(zip(*(run[key].tolist() for key in KEYS), strict=True))
    if not any(of == grid for _, of, _ in lines):
        found = ", ".join(sorted({of for _, of, _ in lines})) or "no rows"
        raise UserError(f"{name} has no rows of the {grid} grid (found: {found}): evaluate the run again")
    kept = [
        ((case, organ), row)
        for row, (case, of, organ) in enumerate(lines)
        if of == grid and (organs is None or organ in organs)
    ]
    places = dict(kept)
    known = {organ for _, organ in places} | set(organs or ())
    if not len(kept) == len(places) == len({case for case, _ in places}) * len(known) > 0:
        raise UserError(f"{name} does not hold each organ of each case exactly once: evaluate the run again")
    return places


def _columns(run: pd.DataFrame, rows: Sequence[int]) -> Columns:
    """The numbers of a score table in these rows. Lengths that were typed as whole numbers are floats, too."""
    whole, lengths = run[list(COUNTS)].to_numpy(int)[rows], run[list(LENGTHS)].to_numpy(float)[rows]
    return dict(zip((*COUNTS, *LENGTHS), (*whole.T, *lengths.T), strict=True))


def _other(name: str, first: str) -> UserError:
    return UserError(f"{name} has other cases, organs or truth than {first}: evaluate all runs of a row on one split")


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
        per_case = mean(scores.values[..., JACCARD], axis=2)  # [run case]
        known = ~np.isnan(per_case)
        means[:, :, JACCARD] = _divide(cases @ np.where(known, per_case, 0.0).T, cases @ known.T.astype(float))
    per_run = np.concatenate([per_organ[..., DICE], means], axis=-1)
    weights = runs[:, :, None] * ~np.isnan(per_run)
    return _divide((weights * np.nan_to_num(per_run)).sum(1), weights.sum(1))


def per_case(scores: Scores) -> pd.DataFrame:
    """One number per case and column, averaged over runs: an organ's Dice, or a metric averaged over the case's organs.

    Index case, columns as ``columns``; NaN where nothing of the case counts.
    """
    organs = scores.values[..., DICE]
    both = np.concatenate([organs, mean(scores.values, axis=2)], axis=-1)
    return pd.DataFrame(mean(both, axis=0), index=list(scores.cases), columns=scores.columns)


def mean(values: Array, axis: int) -> Array:
    """Mean along an axis, NaN left out; NaN where all are."""
    return _divide(np.nansum(values, axis), (~np.isnan(values)).sum(axis))


def _divide(sums: Array, counts: Array) -> Array:
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
