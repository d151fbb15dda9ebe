"""Intervals and tests: the rule's own numbers under any draw, and p values and effects worked out by hand."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support import finished_table
from support.finished_table import score_table

from semiseg.base.metric_names import METRICS
from semiseg.scoring.averages import Scores, estimate, gather, per_case
from semiseg.scoring.comparison import compare, holm
from semiseg.scoring.intervals import confidence
from semiseg.scoring.score import score
from semiseg.scoring.scoring_rules import RULES

ORGANS = ["Rod", "Box"]
NAN = float("nan")


def runs() -> list[pd.DataFrame]:
    """Two runs of six cases: an absent organ, a missed one, and one that is predicted where it is not."""
    first, second = score_table("mt"), score_table("sup_only")
    second.loc[(second["case"] == "case0") & (second["organ"] == "Rod"), "predicted_voxels"] = 4
    return [first, second]


def numbers(rule: str, frames: list[pd.DataFrame]) -> list[float]:
    """What the row of a table prints: Dice of the organs, then the means."""
    summary = score(rule, frames)
    return [*summary.organs.loc[ORGANS, "dice"], *(summary.means[metric] for metric in METRICS)]


def scores_of(values: list[float]) -> Scores:
    """One run of one organ, all metrics alike."""
    array = np.repeat(np.array(values)[None, :, None, None], len(METRICS), axis=3)
    cases = tuple(f"case{number}" for number in range(len(values)))
    return Scores(RULES["sound"], cases, ("Box",), array, pd.DataFrame())


def cases(*values: float) -> pd.Series:
    return pd.Series(values, index=[f"case{number}" for number in range(len(values))])


@pytest.mark.parametrize("rule", RULES)
def test_every_case_once_gives_the_numbers_of_the_table(rule):
    scores = gather(rule, runs(), ORGANS)
    found = estimate(scores, np.ones((1, 6)), np.ones((1, 2)))
    np.testing.assert_allclose(found[0], numbers(rule, runs()), rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_draw_is_scored_as_if_its_cases_and_runs_were_the_data(rule):
    weights, chosen = np.array([[0, 2, 0, 1, 0, 3]]), np.array([[2, 1]])
    scores = gather(rule, runs(), ORGANS)
    drawn = [
        pd.concat(
            frame[frame["case"] == case].assign(case=f"{case} {copy}")
            for case, weight in zip(scores.cases, weights[0], strict=True)
            for copy in range(weight)
        )
        for frame, count in zip(runs(), chosen[0], strict=True)
        for _ in range(count)
    ]
    np.testing.assert_allclose(estimate(scores, weights, chosen)[0], numbers(rule, drawn), rtol=1e-12)


def test_an_organ_that_no_drawn_case_has_is_left_out_of_the_mean():
    scores = gather("sound", [score_table("mt")], ORGANS)
    only_first = estimate(scores, np.eye(6)[:1], np.ones((1, 1)))[0]
    assert np.isnan(only_first[0])
    assert only_first[1:3].tolist() == [75.0, 75.0]


def test_the_given_organs_alone_count_and_case_order_does_not():
    scores = gather("sound", [score_table("mt").iloc[::-1]], ["Box"])
    assert scores.cases == tuple(finished_table.CASES)
    assert scores.columns == ["Box", *METRICS]
    assert estimate(scores, np.ones((1, 6)), np.ones((1, 1)))[0, :2].tolist() == [75.0, 75.0]


def test_empty_masks_are_counted_per_organ():
    empty = gather("sound", runs(), ORGANS).empty
    assert empty.loc["Rod"].tolist() == [1, 1, 1]
    assert empty.loc["Box"].tolist() == [0, 0, 0]


def test_interval_of_a_difference_is_that_of_paired_cases():
    rng = np.random.default_rng(3)
    first, second = rng.uniform(60, 95, (2, 20))
    ours = confidence(scores_of(first), scores_of(second)).loc["dice"]
    theirs = stats.ttest_1samp(first - second, 0).confidence_interval()
    shift = skewness(first - second) * (1 / 6 + stats.t.ppf(0.975, 19) ** 2 / 3)
    assert ours.tolist() == pytest.approx([theirs.low + min(shift, 0), theirs.high + max(shift, 0)], abs=1e-9)
    np.testing.assert_allclose(confidence(scores_of(first), scores_of(first - 1)).loc["dice"], [1, 1], atol=1e-9)


def skewness(values: np.ndarray) -> float:
    """Johnson's term by hand: the third cumulant of the mean over its variance."""
    third = stats.kstat(values, 3) / len(values) ** 2
    return float(third / (values.var(ddof=1) / len(values)))


def test_interval_is_students_and_longer_on_the_side_of_the_skew():
    values = np.append(np.linspace(86, 94, 19), 60.0)
    low, high = confidence(scores_of(list(values))).loc["dice"]
    theirs = stats.ttest_1samp(values, 0).confidence_interval()
    shift = skewness(values) * (1 / 6 + stats.t.ppf(0.975, 19) ** 2 / 3)
    assert shift < -1 and (low, high) == pytest.approx((theirs.low + shift, theirs.high), abs=1e-9)


def test_interval_ends_with_the_scale_and_is_undefined_for_two_cases():
    dice, distance = (confidence(scores_of([99.0, 60.0, 98.0])).loc[name] for name in ("dice", "asd"))
    assert dice["high"] == 100 < distance["high"] and dice["low"] == distance["low"] == 0
    for few in ([80.0], [80.0, 90.0], [80.0, 90.0, NAN]):
        assert confidence(scores_of(few)).isna().all(axis=None)
    assert confidence(scores_of([80.0] * 3)).loc["dice"].tolist() == [80.0, 80.0]


def test_interval_takes_the_rule_of_averaging_and_its_gaps():
    """The rod is in five of six cases; an organ's interval is that of the cases that have it, hardly wider."""
    values = np.random.default_rng(5).normal(80, 5, 6)
    array = np.repeat(values[None, :, None, None], 2, axis=2).repeat(len(METRICS), axis=3)
    array[0, 0, 0] = NAN
    scores = Scores(RULES["sound"], tuple("abcdef"), ("Rod", "Box"), array, pd.DataFrame())
    found = confidence(scores)
    alone = confidence(scores_of(list(values[1:]))).loc["dice"]
    np.testing.assert_allclose(found.loc["Rod"].mean(), alone.mean(), atol=0.1)
    assert 1 < np.ptp(found.loc["Rod"]) / np.ptp(alone) < 1.05
    np.testing.assert_allclose(found.loc["Box"], confidence(scores_of(list(values))).loc["dice"], atol=1e-9)


def test_runs_that_differ_widen_the_interval():
    alike, apart = ([score_table("mt"), score_table(other)] for other in ("mt", "sup_only"))
    narrow, wide = (confidence(gather("sound", frames, ORGANS)).loc["Box"] for frames in (alike, apart))
    assert narrow.tolist() == [75.0, 75.0]
    # means of 75 and 50 with one degree of freedom; the scale ends what Student's t would make of that
    assert wide.tolist() == [0.0, 100.0]


def test_a_case_is_the_mean_of_its_organs_over_runs():
    frame = per_case(gather("sound", runs(), ORGANS))
    # by run: rod 87.5 and 75 (missed in the last case), box 75 and 50
    assert frame["Rod"].tolist()[1:] == [81.25] * 4 + [43.75]
    assert np.isnan(frame["Rod"].iloc[0])
    assert frame["dice"].tolist() == [62.5, *[71.875] * 4, 53.125]


def test_six_cases_that_all_gain_reach_the_least_p():
    result = compare(cases(2, 4, 6, 8, 10, 12), cases(1, 2, 3, 4, 5, 6), lower_is_better=False)
    assert result.p == pytest.approx(2 / 2**6)
    assert (result.effect, result.pairs) == (1.0, 6)


@pytest.mark.parametrize(("decimals", "most"), [(9, 54), (1, 18)])  # without and with ties, beyond what is exact
def test_p_has_the_bits_of_scipy(decimals, most):
    rng = np.random.default_rng(decimals)
    for number in range(6, most + 1):
        gains = rng.normal(0.4, 1, number).round(decimals)
        gains = gains[gains != 0]
        expected = stats.wilcoxon(gains).pvalue if len(gains) > 5 else NAN
        np.testing.assert_array_equal(compare(cases(*gains), cases(*0 * gains), lower_is_better=False).p, expected)


def test_a_usual_table_does_not_wait_for_the_import_of_scipy_stats():
    """It costs as much as all drawings of a page, and few tables have more than fifty test cases."""
    script = (
        "import sys, pandas as pd; from semiseg.scoring.comparison import compare;"
        "one, two = pd.Series(range(20)), pd.Series([0] * 20);"
        "sys.exit('scipy.stats' in sys.modules or not 0 < compare(one, two, lower_is_better=False).p < 1)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 0


def test_effect_is_the_share_of_ranks_that_gain_less_the_share_that_loses():
    # differences 1, -2, 3, 4, 5, -6, 7: ranks alike, R- = 8 of 28
    result = compare(cases(1, -2, 3, 4, 5, -6, 7), cases(*[0] * 7), lower_is_better=False)
    assert result.effect == pytest.approx((20 - 8) / 28)
    mirrored = compare(cases(1, -2, 3, 4, 5, -6, 7), cases(*[0] * 7), lower_is_better=True)
    assert mirrored.effect == -result.effect
    assert mirrored.p == result.p


def test_pairs_without_both_numbers_or_without_a_difference_are_dropped():
    method, reference = cases(2, 4, 6, 8, 10, 12, 7, NAN, 9), cases(1, 2, 3, 4, 5, 6, 7 + 1e-12, 5, NAN)
    result = compare(method, reference, lower_is_better=False)
    assert (result.p, result.pairs) == (pytest.approx(2 / 2**6), 7)


def test_fewer_than_six_differences_have_an_effect_but_no_p():
    few = compare(cases(1, 2, 3, 4, 5), cases(*[0] * 5), lower_is_better=False)
    assert np.isnan(few.p) and few.effect == 1.0
    same = compare(cases(1, 2), cases(1, 2), lower_is_better=False)
    assert np.isnan(same.p) and same.effect == 0.0
    nothing = compare(cases(NAN, 2), cases(1, NAN), lower_is_better=False)
    assert np.isnan(nothing.p) and np.isnan(nothing.effect)


def test_holm_gives_the_numbers_of_statsmodels():
    """statsmodels 0.15.0: multipletests(p, method="holm")[1], with a tie and a value that must not fall again."""
    p = [0.0021, 0.0204, 0.0357, 0.0004, 0.31, 0.0204, 0.92, 0.0106]
    expected = [0.0147, 0.102, 0.1071, 0.0032, 0.62, 0.102, 0.92, 0.0636]
    assert list(holm(dict(zip("abcdefgh", p, strict=True))).values()) == pytest.approx(expected, rel=1e-12)
    assert holm({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}


def test_holm_counts_defined_p_values_alone():
    corrected = holm({"a": 0.01, "b": 0.04, "c": NAN, "d": 0.03})
    assert [corrected[name] for name in "abd"] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(corrected["c"])
    assert np.isnan(holm({"a": NAN})["a"])
