"""The interval holds the true mean as often as the page says, and more often than the percentile bootstrap does."""

import os

import numpy as np
import pytest

from semiseg.scoring.coverage import CASES, COVERAGE, NEAR_MISSES, RUNS, draw, simulate, simulated

WHOLE = os.environ.get("SEMISEG_COVERAGE") == "whole"  # `make properties`
ROWS = 20_000 if WHOLE else 4_000
PLACES = [
    (runs, cases) for runs in RUNS for cases in CASES if WHOLE or (runs in (1, 3) and cases in (3, 6, 10, 20, 80))
]


@pytest.mark.parametrize(("runs", "cases"), PLACES)
def test_the_table_of_coverage_is_what_the_simulation_gives(runs, cases):
    found = [simulate(cases, runs, share, ROWS) for share in (0.0, NEAR_MISSES)]
    tolerance = 0.0006 if WHOLE else 4 * np.sqrt(0.09 * 0.91 / ROWS)
    assert found == pytest.approx(COVERAGE[runs][CASES.index(cases)], abs=tolerance)


def test_the_interval_keeps_its_promise_from_ten_cases_on():
    for pairs in COVERAGE.values():
        for cases, (plain, near) in zip(CASES, pairs, strict=True):
            assert cases < 10 or (0.93 <= plain <= 0.97 and near >= 0.90), cases


PERCENTILES = [(5, 0.0, 0.80, 0.84), (5, 0.08, 0.73, 0.77), (20, 0.0, 0.90, 0.94), (20, 0.08, 0.88, 0.91)]


@pytest.mark.parametrize(("cases", "near_misses", "least", "most"), PERCENTILES)
def test_percentiles_of_a_bootstrap_hold_it_less_often(cases, near_misses, least, most):
    """Why the intervals are none: so often they hold the mean of the same simulated scores."""
    values, truth = draw(cases, 1, near_misses, 4_000)
    weights = np.random.default_rng(1).multinomial(cases, np.full(cases, 1 / cases), size=1_000) / cases
    low, high = np.quantile(weights @ values[0], [0.025, 0.975], axis=0)
    share = float(np.mean((low <= truth) & (truth <= high)))
    assert least < share < most and share < simulate(cases, 1, near_misses, 4_000) - 0.01


def test_the_simulated_scores_are_as_described():
    values, truth = draw(200, 1, 0.0, 2_000)
    assert (truth, values.mean(), values.std()) == (90.0, pytest.approx(90, abs=0.05), pytest.approx(4.7, abs=0.1))
    near, truth = draw(200, 1, NEAR_MISSES, 2_000)
    assert truth == pytest.approx(88.4) and near.mean() == pytest.approx(truth, abs=0.05)
    several, _ = draw(50, 3, 0.0, 2_000)
    assert (several.mean(axis=1) - several.mean(axis=(0, 1))).std(axis=0, ddof=1).mean() == pytest.approx(0.5, abs=0.05)


def test_a_number_between_the_simulated_ones_has_the_coverage_of_the_next_below():
    assert simulated(20, 1) == (20, 1, *COVERAGE[1][CASES.index(20)])
    assert simulated(24, 4)[:2] == (20, 3) and simulated(1000, 9)[:2] == (200, 5)
