"""One row: both conventions from real score tables, numbers worked out by hand."""

from pathlib import Path

import pandas as pd
import pytest
from support import finished_table
from support.finished_table import CASES, SPLIT, scoring

from semiseg.base.errors import UserError
from semiseg.stages.row import row


@pytest.fixture
def project(tmp_path, monkeypatch):
    finished_table.build(tmp_path, seeds=(7,))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build_row(method: str, seeds: int = 1, published: str = "la") -> pd.DataFrame:
    cases = [Path(f"results/runs/{method}/seed7/cases.csv")] * seeds
    out = Path(f"results/toy/{method}.csv")
    row(scoring(method, published), cases, Path(SPLIT), out)
    return pd.read_csv(out).set_index("convention")


def test_two_lines_with_the_agreed_columns(project):
    frame = build_row("mt")
    assert list(frame.index) == ["published", "sound"]
    assert Path("results/toy/mt.csv").read_text(encoding="utf-8").splitlines()[0].split(",") == [
        *("method", "label", "convention", "rule", "labelled", "unlabelled", "Rod", "Box"),
        *("Dice", "Dice SD", "Jaccard", "Jaccard SD", "ASD", "ASD SD", "95HD", "95HD SD"),
        *("unit", "spread_over", "seeds", "n", "absent", "missed", "false_positive"),
    ]
    assert list(frame["rule"]) == ["la", "sound"]
    assert list(frame["unit"]) == ["voxel", "mm"]
    assert (frame[["labelled", "unlabelled", "seeds", "n", "absent"]] == [2, 3, 1, 6, 1]).all(axis=None)


def test_shift_by_one_voxel(project):
    # the box keeps 48 of 64 voxels and the rod 28 of 32: Dice 75 and 87.5; rule la counts the absent rod as 0
    frame = build_row("mt")
    assert frame.loc["sound", ["Rod", "Box", "Dice"]].tolist() == [87.5, 75.0, 81.25]
    assert frame.loc["published", ["Rod", "Box"]].tolist() == [round(87.5 * 5 / 6, 2), 75.0]
    # per case 81.25 five times and 75 (sound) or (0 + 75) / 2 once (published)
    assert frame.loc["sound", "Dice SD"] == round((6.25**2 * 5 / 36) ** 0.5, 2)
    assert frame.loc["published", "Dice SD"] == round((43.75**2 * 5 / 36) ** 0.5, 2)


def test_missed_organ(project):
    # a shift by two keeps half of the box and 24 of 32 voxels of the rod, which the last of five cases lacks
    frame = build_row("sup_only")
    assert frame.loc["sound", ["Rod", "Box"]].tolist() == [75.0 * 4 / 5, 50.0]
    assert list(frame["missed"]) == [1, 1]
    assert list(frame["false_positive"]) == [0, 0]


def test_controls_bound_every_row(project):
    perfect, empty = build_row("control_perfect"), build_row("control_empty")
    assert (perfect.loc["sound", ["Dice", "ASD", "95HD"]] == [100, 0, 0]).all()
    assert empty.loc["sound", "Dice"] == 0
    assert empty.loc["published", "95HD"] == 0  # the published rule rewards an empty answer; the sound one does not
    assert empty.loc["sound", "95HD"] > 30


def test_spread_over_runs_is_empty_for_one_run_and_zero_for_equal_runs(project):
    assert pd.isna(build_row("mt", 1, "guidednet").loc["published", "Dice SD"])
    frame = build_row("mt", 2, "guidednet")
    assert frame.loc["published", "Dice SD"] == 0
    assert list(frame["seeds"]) == [2, 2]


def test_order_of_organs_is_the_tables(project):
    table = finished_table.score_table("mt")
    finished_table.write_table(Path("results/runs/mt/seed7/cases.csv"), table.iloc[::-1])
    assert build_row("mt").loc["sound", ["Rod", "Box"]].tolist() == [87.5, 75.0]


def test_means_are_over_the_tables_organs_only(project):
    spec = {**scoring("mt"), "organs": ["Box"]}
    row(spec, [Path("results/runs/mt/seed7/cases.csv")], Path(SPLIT), Path("one.csv"))
    assert pd.read_csv("one.csv")["Dice"].tolist() == [75.0, 75.0]


def test_same_inputs_same_bytes(project):
    build_row("mt")
    first = Path("results/toy/mt.csv").read_bytes()
    build_row("mt")
    assert Path("results/toy/mt.csv").read_bytes() == first


def test_unknown_organ_is_told(project):
    spec = {**scoring("mt"), "organs": ["Box", "Tail"]}
    with pytest.raises(UserError, match=r"cases\.csv has no scores for Tail \(it has: Box, Rod\)"):
        row(spec, [Path("results/runs/mt/seed7/cases.csv")], Path(SPLIT), Path("one.csv"))
    assert not Path("one.csv").exists()


def test_missing_scores_are_told(project):
    with pytest.raises(UserError, match=r"nowhere\.csv is missing"):
        row(scoring("mt"), [Path("nowhere.csv")], Path(SPLIT), Path("one.csv"))


def test_runs_of_different_cases_are_refused(project):
    table = finished_table.score_table("mt")
    finished_table.write_table(Path("other.csv"), table[table["case"] != CASES[2]])
    with pytest.raises(UserError, match="other cases"):
        row(
            scoring("mt"),
            [Path("results/runs/mt/seed7/cases.csv"), Path("other.csv")],
            Path(SPLIT),
            Path("x"),
        )


def test_a_supervised_row_prints_no_unlabelled_cases(project):
    frame = build_row("sup_only")
    assert (frame[["labelled", "unlabelled"]] == [2, 0]).all(axis=None)
