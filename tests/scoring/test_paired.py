"""Two rows on the same cases: differences, which cases differ most, and p in words where there is none."""

import numpy as np
import pandas as pd
import pytest
from support.finished_table import score_table

from semiseg.scoring.averages import Scores, gather, per_case
from semiseg.scoring.comparison import compare
from semiseg.scoring.intervals import confidence
from semiseg.scoring.paired import pair
from semiseg.scoring.scoring_rules import RULES

ORGANS = ["Rod", "Box"]


def rows() -> tuple[Scores, Scores]:
    return tuple(gather("sound", [score_table(method)], ORGANS) for method in ("mt", "sup_only"))


def scores_of(values: list[float], runs: int = 1) -> Scores:
    array = np.repeat(np.array(values)[None, :, None, None], 4, axis=3).repeat(runs, axis=0)
    return Scores(RULES["sound"], tuple(f"case{n}" for n in range(len(values))), ("Box",), array, pd.DataFrame())


def test_a_line_holds_both_numbers_interval_and_test_of_the_column():
    one, other = rows()
    found = {line.column: line for line in pair(one, other).lines}
    assert list(found) == ["Rod", "Box", "Dice", "Jaccard", "ASD", "95HD"]
    intervals, values = confidence(one, other), [per_case(scores) for scores in (one, other)]
    for name, key in (("Rod", "Rod"), ("Dice", "dice"), ("95HD", "hd95")):
        line = found[name]
        assert line.difference == pytest.approx(line.first - line.second)
        assert (line.low, line.high) == tuple(intervals.loc[key])
        test = compare(values[0][key], values[1][key], lower_is_better=name == "95HD")
        assert (line.p, line.pairs) == (pytest.approx(test.p, nan_ok=True), test.pairs)
    assert found["Dice"].first == 81.25  # the number of the table
    assert (found["Dice"].better, found["Dice"].worse) == (6, 0)
    assert (found["ASD"].better, found["ASD"].worse) == (6, 0)  # a distance is better where it is lower


def test_the_case_that_differs_most_comes_first_and_absent_organs_have_no_difference():
    pairs = pair(*rows())
    sizes = pairs.cases["mean"].abs()
    assert list(sizes) == sorted(sizes, reverse=True)
    assert pairs.cases.index[0] == "case5"  # there the second row misses the rod
    assert np.isnan(pairs.cases.at["case0", "Rod"]) and not np.isnan(pairs.cases.at["case0", "Box"])
    assert pairs.cases.at["case5", "Rod"] == pairs.first.at["case5", "Rod"] - 0.0


def test_why_there_is_no_p_is_said_in_words():
    few = pair(scores_of([1.0, 2, 3]), scores_of([2.0, 3, 4])).lines[0]
    assert np.isnan(few.p) and few.why_undefined == "undefined: too few cases"
    same = pair(scores_of([1.0] * 8), scores_of([1.0] * 7 + [2.0])).lines[0]
    assert np.isnan(same.p) and same.why_undefined == "undefined: too few cases differ"
    enough = pair(scores_of([1.0, 2, 3, 4, 5, 6]), scores_of([0.0, 0, 0, 0, 0, 0])).lines[0]
    assert enough.p == pytest.approx(2 / 2**6) and enough.why_undefined == ""


def test_only_common_cases_and_organs_count():
    one, other = rows()
    fewer = Scores(other.rule, other.cases[2:], other.organs[1:], other.values[:, 2:, 1:], other.empty)
    pairs = pair(one, fewer)
    assert list(pairs.cases.columns) == ["Box", "mean"] and len(pairs.cases) == 4
    assert [line.column for line in pairs.lines] == ["Dice", "Jaccard", "ASD", "95HD"]


def test_rows_with_other_numbers_of_runs_are_averaged_first():
    one = scores_of([70.0, 80.0, 90.0], runs=2)
    one.values[1] += 2
    pairs = pair(one, scores_of([60.0, 60.0, 60.0]))
    assert pairs.runs is None
    assert pairs.lines[0].first == pytest.approx(81.0)
    assert pair(*rows()).runs == 1
