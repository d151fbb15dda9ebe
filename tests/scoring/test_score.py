"""Each rule on a score table small enough to score by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS
from semiseg.scoring.averages import gather
from semiseg.scoring.cases import COLUMNS, read_cases
from semiseg.scoring.score import score
from semiseg.scoring.scoring_rule_texts import MISSED_IS_ZERO
from semiseg.scoring.scoring_rules import ASD, HD95, RULES

NAN = float("nan")


def entry(case, organ, voxels, to_truth=(NAN, NAN), to_prediction=(NAN, NAN), pooled=NAN, surfaces=(0, 0)):
    """Rows of both grids. voxels: truth, prediction, overlap; distances: mean and p95, in mm twice those in voxels."""
    counts = dict(zip(("truth_voxels", "predicted_voxels", "overlap_voxels"), voxels, strict=True))
    lengths = [to_truth[0], to_truth[1], to_truth[1], *to_prediction, to_prediction[1], pooled]
    names = [column.removesuffix("_voxel") for column in COLUMNS if column.endswith("_voxel")]
    row = {"case": case, "organ": organ, "label": 1, **counts}
    row |= {"truth_surface": surfaces[0], "predicted_surface": surfaces[1], "diagonal_mm": 500.0}
    for unit, factor in (("voxel", 1), ("mm", 2)):
        row |= {f"{name}_{unit}": factor * value for name, value in zip(names, lengths, strict=True)}
    return [{**row, "grid": grid} for grid in ("prepared", "native")]


def table(*entries):
    return pd.DataFrame([row for rows in entries for row in rows])[list(COLUMNS)]


@pytest.fixture
def run():
    """Two cases, two organs: hit, hit | missed, rightly not predicted."""
    return table(
        entry("a", "Liv", (60, 40, 40), (1.0, 3.0), (2.0, 6.0), 5.0, (30, 10)),  # Dice 80, Jaccard 2/3
        entry("a", "Gal", (10, 10, 5), (4.0, 8.0), (4.0, 7.0), 7.5, (8, 8)),  # Dice 50, Jaccard 1/3
        entry("b", "Liv", (50, 0, 0), surfaces=(40, 0)),
        entry("b", "Gal", (0, 0, 0)),
    )


def assert_organs(summary, **expected):
    assert list(summary.organs.columns) == list(METRICS)
    assert list(summary.organs.index) == list(expected)
    for organ, numbers in expected.items():
        assert summary.organs.loc[organ].tolist() == pytest.approx(numbers)


@pytest.mark.parametrize("name", RULES)
def test_a_missed_organ_has_distance_0_under_the_rules_that_say_so(name, run):
    distances = gather(name, [run]).values[0, 1, 0, [ASD, HD95]]  # of case b and organ Liv
    assert (name in MISSED_IS_ZERO) == bool((distances == 0).any())


def test_the_spread_of_a_bootstrap_is_that_of_100_means_of_drawn_cases_in_their_order():
    dice = [90.0, 60.0, 20.0, 80.0]  # of the order of the file, not of the names
    frame = table(*(entry(name, "LA", (100, 100, round(value)), (1.0, 1.0), (1.0, 1.0), 1.0, (9, 9))
                    for name, value in zip("dbca", dice, strict=True)))  # fmt: skip
    plain, drawn = score("la", [frame]), score("la", [frame, frame], "bootstrap")
    legacy, values = np.random.RandomState(0), np.array(dice)
    means = [values[legacy.randint(0, 4, 4)].mean() for _ in range(100)]
    assert drawn.spreads["dice"] == pytest.approx(np.std(means)) and drawn.spread_over == "bootstrap"
    assert drawn.means == plain.means and plain.spread_over == "cases"
    assert plain.spreads["dice"] == pytest.approx(values.std())
    assert math.isnan(score("guidednet", [frame], "bootstrap").spreads["asd"]), "the rule has no distances"


def test_la_counts_an_empty_mask_as_four_zeros(run):
    summary = score("la", [run])
    assert_organs(summary, Liv=[40, 100 / 3, 0.5, 2.5], Gal=[25, 50 / 3, 2.0, 3.75])
    assert summary.means == pytest.approx({"dice": 32.5, "jaccard": 25, "asd": 1.25, "hd95": 3.125})
    # cases: a = (80 + 50) / 2, b = 0; half of the difference is the population deviation of two
    assert summary.spreads == pytest.approx({"dice": 32.5, "jaccard": 25, "asd": 1.25, "hd95": 3.125})
    assert (summary.spread_over, summary.unit) == ("cases", "voxel")
    assert (summary.cases, summary.absent, summary.missed, summary.false_positive) == (2, 1, 1, 0)


def test_guidednet_leaves_absent_organs_out_and_averages_jaccard_over_cases(run):
    summary = score("guidednet", [run])
    assert summary.organs["dice"].to_dict() == {"Liv": 40, "Gal": 50}
    assert summary.means["dice"] == 45
    assert summary.means["jaccard"] == pytest.approx(25)  # a: (2/3 + 1/3) / 2, b: 0 (Gal has no union)
    assert math.isnan(summary.means["asd"]) and math.isnan(summary.means["hd95"])
    assert math.isnan(summary.spreads["dice"]) and summary.spread_over == "runs"


def test_guidednet_false_positive_counts_for_jaccard_alone(run):
    run.loc[(run.case == "b") & (run.organ == "Gal"), "predicted_voxels"] = 3
    summary = score("guidednet", [run])
    assert summary.means["dice"] == 45
    assert summary.means["jaccard"] == pytest.approx(25)  # a: 50, b: (0 + 0) / 2
    assert summary.false_positive == 1
    run.loc[(run.case == "b") & (run.organ == "Liv"), ["predicted_voxels", "overlap_voxels"]] = 50
    assert score("guidednet", [run]).means["jaccard"] == pytest.approx((50 + 50) / 2)


def test_dhc_gives_one_percent_to_a_rightly_absent_organ_and_128_to_a_miss(run):
    summary = score("dhc", [run])
    assert summary.organs["dice"].to_dict() == {"Liv": 40, "Gal": pytest.approx(25.5)}
    assert summary.organs["asd"].to_dict() == {"Liv": pytest.approx(64.5), "Gal": 2}
    assert summary.means["dice"] == pytest.approx(32.75)
    assert summary.means["asd"] == pytest.approx(33.25)
    assert math.isnan(summary.means["jaccard"]) and math.isnan(summary.means["hd95"])


def test_dhc_false_positive_is_a_miss_too(run):
    run.loc[(run.case == "b") & (run.organ == "Gal"), "predicted_voxels"] = 3
    summary = score("dhc", [run])
    assert summary.organs.loc["Gal", ["dice", "asd"]].tolist() == [25, 66]


def test_sound_is_symmetric_in_mm_and_takes_the_diagonal_for_a_miss(run):
    summary = score("sound", [run])
    # Liv of a: ASSD = (2 mm x 10 + 4 mm x 30) / 40 = 3.5 mm, HD95 = max(6, 12); missed in b
    assert_organs(summary, Liv=[40, 100 / 3, (3.5 + 500) / 2, (12 + 500) / 2], Gal=[50, 100 / 3, 8, 16])
    assert summary.means["asd"] == pytest.approx((251.75 + 8) / 2)
    assert summary.spreads["dice"] == pytest.approx(32.5)  # a: 65, b: Liv alone, 0
    assert (summary.absent, summary.missed, summary.false_positive) == (1, 1, 0)
    assert (summary.spread_over, summary.unit) == ("cases", "mm")


def test_sound_counts_a_false_positive_but_does_not_score_it(run):
    clean = score("sound", [run])
    run.loc[(run.case == "b") & (run.organ == "Gal"), "predicted_voxels"] = 3
    summary = score("sound", [run])
    assert summary.false_positive == 1
    assert summary.means == clean.means


def test_one_set_of_predictions_has_a_mean_dice_per_rule(run):
    found = {rule: round(score(rule, [run]).means["dice"], 2) for rule in RULES}
    assert found == {"la": 32.5, "guidednet": 45.0, "dhc": 32.75, "sound": 45.0}


def test_an_organ_of_no_case_has_no_number_and_does_not_drag_the_mean(run):
    nowhere = table(entry("a", "Sto", (0, 0, 0)), entry("b", "Sto", (0, 0, 0)))
    summary = score("sound", [pd.concat([run, nowhere])])
    assert summary.organs.loc["Sto"].isna().all()
    assert summary.means["dice"] == 45


def test_runs_are_averaged_and_spread_with_the_population_deviation(run):
    better = run.copy()
    better.loc[better.case == "a", ["overlap_voxels"]] = 0
    summary = score("guidednet", [run, better, run])
    assert summary.means["dice"] == pytest.approx(30)
    assert summary.spreads["dice"] == pytest.approx(math.sqrt((15**2 + 30**2 + 15**2) / 3))
    assert summary.organs["dice"].to_dict() == pytest.approx({"Liv": 80 / 3, "Gal": 100 / 3})
    assert (summary.cases, summary.absent, summary.missed) == (2, 1, 3)
    over_cases = score("la", [run, better])
    assert over_cases.spreads["dice"] == pytest.approx((32.5 + 0) / 2)


def test_organs_keep_the_order_of_the_table(run):
    turned = pd.concat([run[run.organ == "Gal"], run[run.organ == "Liv"]])
    assert list(score("la", [turned]).organs.index) == ["Gal", "Liv"]
    assert list(score("la", [run, turned]).organs.index) == ["Liv", "Gal"]


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_the_lines_does_not_change_a_bit(rule):
    """Sums are taken over sorted cases and over organs in the order wanted."""
    rng, organs = np.random.default_rng(3), ["Liv", "Gal", "Sto"]
    lines = [
        entry(f"{case}", organ, (100, 90, int(rng.integers(90))), rng.random(2), rng.random(2), rng.random(), (7, 9))
        for case in range(40)
        for organ in organs
    ]
    one, other = (score(rule, [table(*(lines[place] for place in order))], "cases", organs)
                  for order in (range(len(lines)), rng.permutation(len(lines))))  # fmt: skip
    np.testing.assert_array_equal(list(one.means.values()), list(other.means.values()))
    np.testing.assert_array_equal(list(one.spreads.values()), list(other.spreads.values()))


def test_whole_numbers_take_nan_and_the_given_table_stays_as_it_was():
    given = table(
        entry("a", "Liv", (8, 8, 8), (0, 0), (0, 0), 0, (8, 8)), entry("a", "Gal", (0, 4, 0), (0, 0), (0, 0), 0)
    )
    before = given.copy()
    assert score("sound", [given]).organs["hd95"].isna().tolist() == [False, True]
    pd.testing.assert_frame_equal(given, before)


def test_an_unknown_rule_lists_the_known_ones(run):
    with pytest.raises(UserError, match="unknown scoring rule 'medpy'; known: la, guidednet, dhc, sound"):
        score("medpy", [run])


def test_tables_that_cannot_be_scored_name_the_run(run):
    with pytest.raises(UserError, match=r"run 2 of 2 has no rows of the native grid \(found: prepared\)"):
        score("sound", [run, run[run.grid == "prepared"]])
    with pytest.raises(UserError, match=r"run 1 of 1 has no rows of the prepared grid \(found: no rows\)"):
        score("la", [run[:0]])
    with pytest.raises(UserError, match="run 1 of 1 lacks the columns overlap_voxels, diagonal_mm"):
        score("la", [run.drop(columns=["overlap_voxels", "diagonal_mm"])])
    with pytest.raises(UserError, match="run 1 of 1 does not hold each organ of each case exactly once"):
        score("la", [run[:-2]])
    with pytest.raises(UserError, match="run 1 of 1 does not hold each organ of each case exactly once"):
        score("la", [pd.concat([run, run])])
    with pytest.raises(UserError, match="run 2 of 2 has other cases, organs or truth than run 1 of 2"):
        score("la", [run, run.replace({"case": {"b": "c"}})])
    with pytest.raises(UserError, match="no score tables were given"):
        score("la", [])


def test_a_file_keeps_names_that_look_like_numbers_or_like_nothing(run, tmp_path):
    path = tmp_path / "cases.csv"
    named = run.replace({"case": {"a": "0001", "b": "NA"}, "organ": {"Gal": "nan"}})
    named.to_csv(path, index=False)
    read = read_cases(path)
    pd.testing.assert_frame_equal(read, named, check_dtype=False)
    assert score("sound", [read]).organs["dice"].to_dict() == {"Liv": 40, "nan": 50}


def test_files_that_cannot_be_scored_are_named(run, tmp_path):
    path = tmp_path / "cases.csv"
    with pytest.raises(UserError, match=r"cases\.csv is missing: build it with `snakemake"):
        read_cases(path)
    for content in ("", 'case,"grid\n1', run.to_csv(index=False).replace("60", "sixty")):
        path.write_text(content)
        with pytest.raises(UserError, match=r"cases\.csv is not a score table"):
            read_cases(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"cases\.csv is not a score table"):
        read_cases(path)
    run.drop(columns="case").to_csv(path, index=False)
    with pytest.raises(UserError, match=r"cases\.csv lacks the columns case"):
        read_cases(path)
    run[run.grid == "prepared"].to_csv(path, index=False)
    with pytest.raises(UserError, match=r"cases\.csv has no rows of the native grid"):
        score("sound", [read_cases(path)])
