"""Which rows of a column can be told apart: groups in place of ranks, over test cases and over runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.scoring.comparison import DECIMALS, LEVEL
from semiseg.scoring.influence import Influence
from semiseg.scoring.intervals import FEW_CASES, freedom

Array = NDArray[Any]
DRAWS = 1_000
SEED = 20_260_101  # always the same draws, so that the same scores give the same bytes


@dataclass(frozen=True)
class Places:
    """What is known of the order of the rows, each ``[row column]``; NaN in a column that a row lacks.

    first: probability that the row has the best number, were cases (and runs) drawn anew. low, high: the ranks that it
    may have: 1 and the rows that are better, and all rows without those that are worse.
    """

    first: Array
    low: Array
    high: Array


def place(rows: Sequence[Influence], lower_is_better: Sequence[bool]) -> Places:
    """Compare every row with every other one, column by column. lower_is_better: per column.

    rows: of the same cases, with as many runs each.

    Two rows are compared by a paired t: the difference of their numbers over its jackknife standard error, over cases
    and runs. The pairs are corrected together (single-step maximum, Westfall and Young 1993): a pair differs where its
    t is rarer than the rarest of all pairs in 95 % of draws from a normal distribution with the covariance of the rows.
    So about 5 in 100 tables of equal rows have a pair that differs. If fewer than ten cases count for a pair of a
    column, Bonferroni's limit holds in the column where it is stricter, and ``are_enough`` decides whether the pair can
    differ. The ranks that a row may have follow from its pairs (Mogstad et al. 2024).
    """
    generator = np.random.default_rng(SEED)
    cases, runs = len(rows[0].by_case), len(rows[0].by_run)
    over_cases, over_runs = (generator.standard_normal((DRAWS, units)) for units in (cases, runs))
    scale = np.sqrt((cases - 1) / generator.chisquare(max(cases - 1, 1), size=(DRAWS, 1)))
    found = [np.full((len(rows), len(lower_is_better)), np.nan) for _ in range(3)]
    for column, lower in enumerate(lower_is_better):
        known = [row for row, one in enumerate(rows) if one.counted[column] > 1 and _has_error(one, column)]
        if not known:
            continue
        numbers, by_case, by_run = (
            np.stack([getattr(rows[row], name)[..., column] for row in known], axis=-1) * (-1.0 if lower else 1.0)
            for name in ("numbers", "by_case", "by_run")
        )
        counted = np.array([rows[row].counted[column] for row in known])
        moved = _spread(over_cases, by_case) + _spread(over_runs, by_run)
        better = _better(numbers, by_case, by_run, counted, moved.astype(np.float32))
        parts = (_first(numbers + scale * moved), 1 + better.sum(axis=0), len(known) - better.sum(axis=1))
        for whole, part in zip(found, parts, strict=True):
            whole[known, column] = part
    return Places(*found)


def are_enough(cases: Array, rows: int) -> Array:
    """Whether so many cases can tell two of so many rows apart at all.

    From ten on they can. Of fewer, the signed-rank test, which knows nothing but signs and ranks, must be able to reach
    Bonferroni's limit: its least p is 2 / 2^cases.
    """
    pairs = max(rows * (rows - 1) // 2, 1)
    return np.asarray((cases >= FEW_CASES) | (2.0 ** (1 - cases) <= LEVEL / pairs))


def _has_error(row: Influence, column: int) -> bool:
    """Whether the number of a column has a standard error: not where a run has no value of it in any case."""
    return all(np.isfinite(part[..., column]).all() for part in (row.numbers, row.by_case, row.by_run))


def _spread(draws: Array, added: Array) -> Array:
    """How far draws ``[draw unit]`` move the numbers ``[draw row]``; their covariance is the jackknife's."""
    units = len(added)
    return np.asarray(draws @ added / np.sqrt(max(units * (units - 1), 1)))


def _first(drawn: Array) -> Array:
    """Share of draws in which each row has the largest number; equal rows divide a draw between them."""
    drawn = drawn.round(DECIMALS)
    leads = drawn == drawn.max(axis=1, keepdims=True)
    return np.asarray((leads / leads.sum(axis=1, keepdims=True)).mean(axis=0))


def _better(numbers: Array, by_case: Array, by_run: Array, counted: Array, moved: Array) -> Array:
    """Whether row i is better than row j, ``[row row]``."""
    from scipy.special import ndtri, stdtr  # here: a job that has no table to make does not wait for it

    rows, (cases, runs) = len(numbers), (len(by_case), len(by_run))
    better = np.zeros((rows, rows), bool)
    one, other = np.triu_indices(rows, 1)
    pairs = np.minimum(counted[one], counted[other])
    gains = (numbers[one] - numbers[other]).round(DECIMALS)
    errors = [
        ((added[:, one] - added[:, other]) ** 2).sum(axis=0) / max(units * (units - 1), 1)
        for added, units in ((by_case, cases), (by_run, runs))
    ]
    error = np.sqrt(errors[0] + errors[1]).round(DECIMALS)
    varied = error > 0
    if not len(one):
        return better
    freedoms = freedom(errors[0], errors[1], pairs, runs)
    t = np.abs(gains) / np.where(varied, error, 1.0)
    # the normal number that is as rare as this t, so that pairs with different degrees of freedom compare
    rarity = np.where(varied, -ndtri(stdtr(freedoms, -t)), np.where(gains == 0, 0.0, np.inf))
    largest = np.abs(moved[:, one[varied]] - moved[:, other[varied]]) / error[varied].astype(np.float32)
    limit = float(np.quantile(largest.max(axis=1), 1 - LEVEL)) if varied.any() else 0.0
    if pairs.min() < FEW_CASES:  # too few for the covariance of many rows: Bonferroni's limit
        limit = max(limit, -float(ndtri(LEVEL / (2 * len(one)))))
    differs = (rarity > limit) & are_enough(pairs, rows)
    better[one, other], better[other, one] = differs & (gains > 0), differs & (gains < 0)
    return better
