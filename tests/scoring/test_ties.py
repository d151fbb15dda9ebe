"""Groups in place of ranks: equal rows share one, different rows do not, and what is random keeps its promise."""

import numpy as np
import pytest

from semiseg.scoring.influence import Influence
from semiseg.scoring.ties import are_enough, place

LOWER, HIGHER = [True], [False]


def rows_of(values: np.ndarray) -> list[Influence]:
    """Influences of rows ``[row run case]`` in one column."""
    found = []
    for row in values:
        number = row.mean()
        by_run = row.mean(axis=1) - number if len(row) > 1 else np.zeros(1)
        parts = (np.array([number]), (row.mean(axis=0) - number)[:, None], by_run[:, None])
        found.append(Influence(*parts, np.array([row.shape[1]])))
    return found


def dice(generator: np.random.Generator, rows: int, cases: int, runs: int = 1) -> np.ndarray:
    """Equally good rows ``[row run case]``: a case is as hard for all, and something is each row's own."""
    hard = np.log(10) + 0.4 * generator.standard_normal((1, 1, cases))
    values = 100 - np.exp(hard + 0.25 * generator.standard_normal((rows, 1, cases)))
    return values + (2 * generator.standard_normal((rows, runs, cases)) if runs > 1 else 0)


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("cases", [2, 6, 20])
@pytest.mark.parametrize("lower", [LOWER, HIGHER])
def test_two_equal_methods_share_everything(cases, runs, lower):
    values = dice(np.random.default_rng(cases), 4, cases, runs)
    values[2] = values[0]
    found = place(rows_of(values), lower)
    for part in (found.first, found.low, found.high):
        assert part[0] == part[2]
    alone = place(rows_of(values[[0, 2]]), lower)
    assert (alone.first.tolist(), alone.low.tolist(), alone.high.tolist()) == ([[0.5]] * 2, [[1]] * 2, [[2]] * 2)


def test_a_row_that_is_better_in_every_case_is_first_alone():
    values = dice(np.random.default_rng(1), 3, 20)
    values[1] += 15
    found = place(rows_of(values), HIGHER)
    assert (found.low[:, 0].tolist(), found.high[:, 0].tolist()) == ([2, 1, 2], [3, 1, 3])
    assert found.first[:, 0].tolist() == [0, 1, 0]
    turned = place(rows_of(values), LOWER)
    assert (turned.low[1, 0], turned.high[1, 0], turned.first[1, 0]) == (3, 3, 0)


def test_a_constant_gain_tells_rows_apart_from_six_cases_on():
    for cases in (5, 6):
        values = dice(np.random.default_rng(2), 1, cases)
        found = place(rows_of(np.concatenate([values, values + 1])), HIGHER)
        assert found.low[:, 0].tolist() == ([1, 1] if cases == 5 else [2, 1])


def test_few_cases_tell_rows_apart_where_the_signed_rank_test_could():
    """2 / 2^cases against 0.05 over 1, 6 and 10 pairs."""
    enough = {rows: min(n for n in range(2, 20) if are_enough(np.array(n), rows)) for rows in (2, 4, 5, 46)}
    assert enough == {2: 6, 4: 8, 5: 9, 46: 10}
    values = dice(np.random.default_rng(8), 4, 7) + np.array([0.0, 5, 10, 15])[:, None, None]
    assert place(rows_of(values), HIGHER).low[:, 0].tolist() == [1, 1, 1, 1]
    values = dice(np.random.default_rng(8), 4, 8) + np.array([0.0, 5, 10, 15])[:, None, None]
    assert place(rows_of(values), HIGHER).low[3, 0] == 1 < place(rows_of(values), HIGHER).low[0, 0]


def test_runs_that_scatter_take_the_difference_away():
    values = dice(np.random.default_rng(3), 1, 20)
    both = np.concatenate([values, values + 2 + 0.2 * np.random.default_rng(4).standard_normal((1, 1, 20))])
    assert place(rows_of(both), HIGHER).low[:, 0].tolist() == [2, 1]
    steady, scattered = (np.repeat(both, 2, axis=1) for _ in range(2))
    scattered[:, 0] += np.array([[4.0], [-4.0]])
    scattered[:, 1] -= np.array([[4.0], [-4.0]])
    assert place(rows_of(steady), HIGHER).low[:, 0].tolist() == [2, 1]
    assert place(rows_of(scattered), HIGHER).low[:, 0].tolist() == [1, 1]


def test_rows_without_a_number_have_no_place_and_do_not_count():
    rows = rows_of(dice(np.random.default_rng(5), 3, 8))
    gone = Influence(np.array([np.nan]), rows[1].by_case * np.nan, rows[1].by_run, np.array([0]))
    found, without = place([rows[0], gone, rows[2]], HIGHER), place([rows[0], rows[2]], HIGHER)
    for part, rest in ((found.first, without.first), (found.low, without.low), (found.high, without.high)):
        assert np.isnan(part[1, 0]) and part[[0, 2], 0].tolist() == rest[:, 0].tolist()


def test_one_case_gives_no_place():
    found = place(rows_of(dice(np.random.default_rng(6), 3, 1)), HIGHER)
    assert np.isnan(found.first).all() and np.isnan(found.low).all()


@pytest.mark.parametrize(("rows", "cases", "runs"), [(2, 10, 1), (6, 6, 1), (6, 20, 3), (12, 20, 1)])
def test_equal_rows_are_seldom_told_apart(rows, cases, runs):
    """In about 5 of 100 tables: with 150 tables at most 15, which true 5 % exceeds once in 200 tries."""
    generator = np.random.default_rng((rows, cases, runs))
    told = [(place(rows_of(dice(generator, rows, cases, runs)), HIGHER).low > 1).any() for _ in range(150)]
    assert sum(told) <= 15


def test_the_probability_of_being_first_is_that_of_the_means():
    """Two independent rows whose means differ by one standard error of the difference: normal probability 0.84."""
    generator = np.random.default_rng(7)
    values = generator.standard_normal((2, 1, 400))
    values -= values.mean(axis=2, keepdims=True)
    values[0] += (values[0] - values[1]).std(ddof=1) / 20
    assert place(rows_of(values), HIGHER).first[:, 0] == pytest.approx([0.841, 0.159], abs=0.03)


def test_a_row_without_a_standard_error_has_no_place():
    values = dice(np.random.default_rng(4), 3, 12, 2)
    rows = rows_of(values)
    rows[1].by_run[:] = np.nan
    found = place(rows, HIGHER)
    assert np.isnan(found.low[1]).all() and not np.isnan(found.low[[0, 2]]).any()
    assert found.first[[0, 2]].sum() == pytest.approx(1)
