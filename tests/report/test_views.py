"""The three views of a table: where each number comes from, what is tested, and what is said of it."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import finished_table
from support.finished_table import ROWS, SPLIT

from semiseg.base.errors import UserError
from semiseg.papers.reading import printed
from semiseg.report.cells import read_rows
from semiseg.report.cost import COST, cost_as_csv, read_cost
from semiseg.report.grids import about_cells, views_grid
from semiseg.report.latex import latex
from semiseg.report.markdown import markdown
from semiseg.report.notes import (
    about_controls,
    about_few_cases,
    about_groups,
    about_never_found,
    about_vanished,
    about_views,
    about_zeros,
    rule_change,
)
from semiseg.report.sources import read_vanished
from semiseg.report.views import OPTIMISM, VIEWS, as_csv, build_views, largest_rule_change, optimistic
from semiseg.stages.row import row

FULL = {"paper": "guidednet", "table": "1", "labelled": 42, "unlabelled": 378}
HALF = {"paper": "guidednet", "table": "1", "labelled": 42, "unlabelled": 42}
COLUMNS = ["Rod", "Box", "Dice", "Jaccard", "ASD", "95HD"]
SEEDS = (7, 8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project with two runs per row; those of ``mt`` are alike."""
    folder = tmp_path_factory.mktemp("views")
    finished_table.build(folder, SEEDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for method in ROWS:
            cases = [Path(run) / "cases.csv" for run in finished_table.tabulation(SEEDS)["runs"][method]]
            row(finished_table.scoring(method), cases, Path(SPLIT), Path(f"results/toy/{method}.csv"))
    return folder


@pytest.fixture
def project(root, monkeypatch):
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="module")
def default(root):
    """The views of the unchanged specification, built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return build_views(spec_with(), table_of())


@pytest.fixture
def views(default):
    return default.set_index(["method", "column"])


def table_of(methods=ROWS) -> pd.DataFrame:
    return read_rows([Path(f"results/toy/{method}.csv") for method in methods])


def spec_with(**changes):
    return finished_table.table_spec(SEEDS, **changes)


def views_of(**changes) -> pd.DataFrame:
    spec = spec_with(**changes)
    built = [method for method in ROWS if method in spec.runs]
    return build_views(spec, table_of(built)).set_index(["method", "column"])


def in_print(block, name, column="Dice") -> float:
    lines = printed(**block)
    return float(lines[(lines["row"] == name) & (lines["column"] == column)]["value"].iloc[0])


def test_a_line_per_row_and_column_controls_last(default):
    assert list(default.columns) == list(VIEWS)
    assert list(default["method"].unique()) == ["sup_only", "mt", "control_perfect", "control_empty"]
    assert list(default["column"][:6]) == COLUMNS


def test_rebuilt_numbers_are_the_rows(project, views):
    table = table_of().set_index(["convention", "method"])
    for method in ROWS:
        for column in COLUMNS:
            line = views.loc[(method, column)]
            assert line["published"] == table.loc[("published", method), column]
            assert line["sound"] == table.loc[("sound", method), column]
    assert views.loc[("mt", "Dice"), ["n", "seeds", "absent", "missed", "false_positive"]].tolist() == [6, 2, 1, 0, 0]


def test_an_organ_has_its_own_counts(project, views):
    counts = ["absent", "missed", "false_positive"]
    assert views.loc[("sup_only", "Rod"), counts].tolist() == [1, 2, 0]  # missed in both runs
    assert views.loc[("sup_only", "Box"), counts].tolist() == [0, 0, 0]
    assert views.loc[("sup_only", "Dice"), counts].tolist() == [1, 2, 0]


def test_change_of_rule_where_units_agree(project, views):
    assert views.loc[("mt", "Rod"), "rule_change"] == pytest.approx(87.5 - 72.92)
    assert views.loc[("mt", "Box"), "rule_change"] == 0
    assert np.isnan(views.loc[("mt", "ASD"), "rule_change"])  # voxels and mm


def test_intervals_hold_the_number_and_have_no_width_without_spread(project, views):
    views = views.drop(index=["control_perfect", "control_empty"], level="method")
    for name in ("published", "sound"):
        assert (views[f"{name}_low"] <= views[name] + 0.005).all()  # the table has two decimals
        assert (views[f"{name}_high"] >= views[name] - 0.005).all()
    assert views.loc[("mt", "Box"), ["sound_low", "sound_high"]].tolist() == [75.0, 75.0]
    assert views.loc[("sup_only", "Rod"), "sound_low"] < 60 < views.loc[("sup_only", "Rod"), "sound_high"]


def test_methods_are_tested_against_the_reference_and_controls_are_not(project, views):
    assert views.loc["sup_only", ["p", "p_holm", "effect"]].isna().all(axis=None)
    assert views.loc[["control_perfect", "control_empty"], "p"].isna().all()
    # the box gains in all of six cases; the rod is there in five
    assert views.loc[("mt", "Box"), ["p", "p_holm", "effect"]].tolist() == [2 / 64, 2 / 64, 1.0]
    assert np.isnan(views.loc[("mt", "Rod"), "p"]) and views.loc[("mt", "Rod"), "effect"] == 1.0
    turned = views_of(reference="mt")
    assert turned.loc[("sup_only", "ASD"), ["p", "effect"]].tolist() == [2 / 64, -1.0]  # longer distances are worse


def test_printed_numbers_come_from_the_first_block_that_has_the_row(project):
    names = {**finished_table.tabulation()["names"], "mt": ["MT & co_1", "MT"], "sup_only": ["Sup only"]}
    views = views_of(names=names, printed=[HALF, FULL])
    assert views.loc[("mt", "Dice"), "printed"] == in_print(HALF, "MT") != in_print(FULL, "MT")
    assert views_of(names=names, printed=[FULL, HALF]).loc[("mt", "Dice"), "printed"] == in_print(FULL, "MT")
    line = views.loc[("sup_only", "Jaccard")]
    assert line["printed"] == in_print(HALF, "Sup only", "Jaccard")
    assert line["difference"] == pytest.approx(line["published"] - line["printed"])
    assert line["printed_spread_over"] == "runs"
    assert np.isnan(views.loc[("mt", "Box"), "printed"])  # no such organ in print
    ours = views_of(names={**names, "mt": ["ours"]}, printed=[HALF])
    assert ours.loc["mt", "printed"].isna().all()


def test_rows_that_were_not_built_keep_their_printed_numbers_and_say_why(project):
    runs = finished_table.tabulation(SEEDS)["runs"]
    del runs["mt"]
    names = {**finished_table.tabulation()["names"], "mt": ["MT"]}
    changes = {"runs": runs, "names": names, "printed": [FULL], "failed": {"mt": "train did not finish"}}
    views = views_of(**changes)
    line = views.loc[("mt", "Dice")]
    assert (line["reason"], line["printed"]) == ("train did not finish", in_print(FULL, "MT"))
    assert line[["published", "sound", "p", "n", "difference"]].isna().all()
    assert views.loc[("sup_only", "Dice"), "reason"] == ""


def test_without_score_tables_there_are_numbers_but_no_intervals(project):
    runs = {method: ["nowhere"] for method in ROWS}
    views = views_of(runs=runs)
    assert views.loc[("mt", "Dice"), "sound"] == 81.25
    assert views[["sound_low", "published_high", "p", "effect"]].isna().all(axis=None)


def test_text_has_two_decimals_and_empty_fields(default):
    lines = as_csv(default).splitlines()
    assert lines[0].split(",") == list(VIEWS)
    box = dict(zip(VIEWS, next(line for line in lines if line.startswith("mt,MT & co_1,Box")).split(","), strict=True))
    assert (box["sound"], box["sound_low"], box["printed"], box["difference"]) == ("75.00", "75.00", "", "")
    assert (box["n"], box["p"], box["effect"], box["rule_change"]) == ("6", "0.03125", "1.000", "0.00")


CHOSEN = {"every": 25, "per": "epoch", "first": 201, "region": "volume", "absent": "zero"}
BEST = {"mt": {"rule": "best_test", "selection": CHOSEN, "last": "sup_only"}}


def test_the_optimism_of_a_checkpoint_is_the_difference_of_two_rows_with_its_interval(project, views, default):
    found = views_of(checkpoints=BEST)
    assert list(found.columns) == [*default.columns[1:2], *default.columns[3:], *OPTIMISM]
    pd.testing.assert_frame_equal(found[list(default.columns[3:])], views[list(default.columns[3:])])
    best, last = found.loc["mt"], found.loc["sup_only"]
    for convention in ("published", "sound"):
        name = f"{convention}_optimism"
        np.testing.assert_allclose(best[name], best[convention] - last[convention], atol=1e-9)
        assert (best[f"{name}_low"] <= best[name] + 0.011).all() and (best[f"{name}_high"] >= best[name] - 0.011).all()
    assert best.loc["Box", ["sound_optimism", "sound_optimism_low", "sound_optimism_high"]].tolist() == [25.0] * 3
    assert found.drop(index="mt", level="method")[list(OPTIMISM)].isna().all(axis=None)


def test_the_optimism_stands_in_every_form_and_says_what_it_is(project):
    spec = spec_with(checkpoints=BEST)
    views = build_views(spec, table_of())
    texts = {"md": markdown(spec, table_of(), views), "tex": latex(spec, table_of(), views)}
    chosen = (
        "co_1 shows the checkpoint with the best mean Dice on whole volumes of the test cases, measured every 25"
        " epochs, first after 201: CHOSEN ON THE TEST LIST, optimistic."
    )
    for text in texts.values():
        plain = text.replace("\\_", "_")
        assert chosen in plain and "Optimism: best on the test list minus last".lower() in plain.lower()
        assert "of the last checkpoint of the same training. Brackets: 95" in plain
    assert "| MT & co\\_1 |" in texts["md"] and "+25.00 [25.00, 25.00]" not in texts["md"], "means alone"
    dice = views.set_index(["method", "column"]).loc[("mt", "Dice")]
    cell = f"+{dice.sound_optimism:.2f} [{dice.sound_optimism_low:.2f}, {dice.sound_optimism_high:.2f}]"
    assert all(cell in text for text in texts.values())
    assert "published_optimism_low" in as_csv(views).partition("\n")[0]


def test_equal_rows_are_both_best_or_share_a_group_and_a_copy_does_not_count(project):
    """A row beside its own copy, once as a row of its own and once as the same computation."""
    runs = finished_table.tabulation(SEEDS)["runs"]
    names = {**finished_table.tabulation()["names"], "again": ["Again"]}
    twice = {"runs": {**runs, "again": runs["mt"]}, "names": names, "rows": [*ROWS, "again"]}
    table = table_of()
    table = pd.concat([table, table[table["method"] == "mt"].assign(method="again", label="Again")], ignore_index=True)
    parts = ["sound_first", "sound_rank_low", "sound_rank_high", "sound_group"]
    found = build_views(spec_with(**twice), table).set_index(["method", "column"])
    for column in COLUMNS:
        assert found.loc[("mt", column), parts].tolist() == found.loc[("again", column), parts].tolist()
    assert found.loc[("mt", "Box"), parts].tolist() == [0.5, 1, 3, "best"], "six cases are too few for three rows"
    copied = build_views(spec_with(**twice, same_as={"again": "mt"}), table).set_index(["method", "column"])
    assert (
        copied.loc[("again", "Box"), parts].tolist() == [1.0, 1, 1, "best"] == copied.loc[("mt", "Box"), parts].tolist()
    )
    assert copied.loc[("sup_only", "Box"), parts].tolist() == [0.0, 2, 2, "apart"]


def test_lower_is_better_in_columns_of_distances_and_controls_have_no_place(project, views):
    assert views.loc[("mt", "ASD"), ["published_group", "published_rank_high"]].tolist() == ["best", 1]
    assert views.loc[("sup_only", "ASD"), ["published_group", "sound_group"]].tolist() == ["", "tied"]
    controls = views.loc[["control_perfect", "control_empty"]]
    assert controls["sound_rank_low"].isna().all() and set(controls["sound_group"]) == {""}


def test_a_distance_that_counts_missed_cases_as_zero_is_marked_and_is_never_the_best(project, default):
    """The rule of the LA papers counts an empty prediction as distance 0; sup_only missed one organ in each run."""
    spec, table = spec_with(), table_of()
    shown = default.set_index(["method", "column"])
    assert shown.loc[("sup_only", "ASD"), ["published_group", "sound_group"]].tolist() == ["", "tied"]
    assert (
        pd.isna(shown.loc[("sup_only", "ASD"), "published_first"])
        and shown.loc["sup_only", "published_first"]["Dice"] >= 0
    )
    assert shown.loc[("mt", "ASD"), ["published_first", "published_group"]].tolist() == [1.0, "best"]
    (note,) = about_zeros(spec, default)
    assert note.startswith("†: ") and note.endswith("So many are counted as 0: Sup only 2.")
    for text in (markdown(spec, table, default), latex(spec, table, default).replace(r"$\dagger$", "†")):
        (line, *_) = (line for line in text.splitlines() if line.lstrip("| ").startswith("Sup only"))
        assert line.count("†") == 2 and note.partition(",")[0] in text, "ASD and 95HD"
    other = spec_with(published="dhc")
    assert about_zeros(other, default) == [] and "†" not in markdown(other, table, default)
    whole = default[default["method"] != "sup_only"].assign(missed=0.0)
    assert about_zeros(spec, whole) == []
    assert "×2" in about_cells(spec, default) and "×" not in about_cells(spec, whole)


def test_no_row_is_best_where_a_row_lacks_its_scores_or_has_other_cases(project, tmp_path):
    runs = finished_table.tabulation(SEEDS)["runs"]
    gone = views_of(runs={**runs, "mt": ["nowhere"]})
    assert set(gone["sound_group"]) == {""} and gone["sound_first"].isna().all()
    spec = spec_with(runs={**runs, "mt": ["nowhere"]})
    assert about_groups(spec, build_views(spec, table_of())).startswith("No row is called the best")
    other = finished_table.score_table("mt").replace({"case": {"case0": "case9"}})
    for name in ("a", "b"):
        finished_table.write_table(tmp_path / name / "cases.csv", other)
    moved = views_of(runs={**runs, "mt": [str(tmp_path / "a"), str(tmp_path / "b")]})
    assert set(moved["sound_group"]) == {""}


def test_rows_that_all_have_one_number_are_tied_and_none_is_best(project):
    runs = finished_table.tabulation(SEEDS)["runs"]
    table = table_of()
    same = table.loc[table["method"] == "mt"].assign(method="sup_only", label="Sup only")
    table = pd.concat([table[table["method"] != "sup_only"], same], ignore_index=True)
    found = build_views(spec_with(runs={**runs, "sup_only": runs["mt"]}), table).set_index(["method", "column"])
    assert set(found.loc[["mt", "sup_only"], "sound_group"]) == {"tied"}


def test_five_cases_have_no_p_and_two_no_interval_in_words(project, tmp_path):
    for count, expected in ((5, "undefined: too few cases"), (2, "undefined: too few cases")):
        folders = {name: [str(tmp_path / f"{count}{name}{seed}") for seed in SEEDS] for name in ROWS}
        for name, each in folders.items():
            for path in each:
                scores = finished_table.score_table(name)
                finished_table.write_table(Path(path, "cases.csv"), scores[scores["case"] > f"case{5 - count}"])
            row(finished_table.scoring(name), [Path(path) / "cases.csv" for path in each], Path(SPLIT), tmp_path / name)
        spec, table = spec_with(runs=folders), read_rows([tmp_path / name for name in ROWS])
        views = build_views(spec, table)
        grid = views_grid(spec, table, views, "Dice")
        texts = {cells[0][0]: [text for text, _ in cells[1:]] for cells in grid.rows}
        assert texts["MT & co_1"][4] == expected and texts["MT & co_1"][3] == "1–2"
        assert set(views.loc[views["method"].isin(["mt", "sup_only"]), "sound_group"]) <= {"best", "tied"}
        (few,) = about_few_cases(views)
        assert f"Only {count} test cases" in few
        assert ("intervals may be too short" in few) == (count > 2), "those that are undefined are not too short"
        assert "an effect of ±1.00" in few and "±" not in about_few_cases(views.assign(effect=float("nan")))[0]
        assert f"{count} test cases estimate that covariance roughly" in " ".join(about_views(spec, views))
        assert ("Intervals are undefined" in " ".join(about_views(spec, views))) == (count == 2)
        assert f"{count} cases are too few to tell any two of these rows apart." in about_groups(spec, views)
    assert about_few_cases(views.assign(n=10.0)) == []
    assert "covariance as estimated over test cases and runs" in " ".join(about_views(spec, views.assign(n=10.0)))
    assert "roughly" not in " ".join(about_views(spec, views.assign(n=10.0)))


def test_captions_in_latex_are_short_and_explanations_stand_once_below_the_tables(project, default):
    text = latex(spec_with(), table_of(), default)
    captions = re.findall(r"\\caption\{(.*)\}", text)
    assert len(captions) == 3 and max(len(caption.split()) for caption in captions) < 70
    assert text.count("(control) is the truth itself") == 1
    assert len(re.findall(r"\\parbox\{\\textwidth\}\{\\footnotesize Measured on", text)) == 2


def test_an_organ_that_no_row_found_is_named_in_every_form(project, default):
    spec, table = spec_with(), table_of()
    assert about_never_found(spec, default) == [] and "No row found" not in markdown(spec, table, default)
    lost = default.copy()
    lost.loc[(lost["column"] == "Rod") & (lost["method"] != "control_perfect"), "sound"] = 0.0
    assert about_never_found(spec, lost) == ["No row found rod."]
    for form in (markdown, latex):
        assert "No row found rod." in form(spec, table, lost)


def test_controls_and_missed_organs_are_explained_where_they_stand(project, default):
    spec, table = spec_with(), table_of()
    text = markdown(spec, table, default)
    assert (
        "perfect (control) is the truth itself, brought to the prepared grid and back: its 100.00 % Dice under the"
        " sound rule is the most that a label map on that grid can reach" in text
    )
    assert "empty (control) finds nothing: its 0.00 % Dice under the sound rule is the floor." in text
    assert "| <ins>60.00 ×2</ins> |" in text and "*0.00 ×" not in text, "that a control misses all is known"
    assert "60.00 ×2" in latex(spec, table, default).replace(r"$\times$", "×")
    assert re.search(r"\| \*perfect \(control\)\* \| \*–\* \| \*–\* \|", text), "no case trains a control"
    trained = table[~table["method"].str.startswith("control_")]
    assert about_controls(spec, trained) == []


@pytest.mark.parametrize("shown", [{}, {"mt": {**BEST["mt"], "last": None}}, {"mt": {**BEST["mt"], "last": "gone"}}])
def test_no_optimism_without_a_row_of_the_last_checkpoint(default, project, shown):
    spec = spec_with(checkpoints=shown)
    assert not optimistic(spec) and "optimism" not in as_csv(default)
    assert "Optimism" not in markdown(spec, table_of(), default)


def test_a_table_with_bootstrap_spreads_says_so(project):
    cases = [Path(folder) / "cases.csv" for folder in finished_table.tabulation(SEEDS)["runs"]["mt"]]
    row({**finished_table.scoring("mt"), "spread": "bootstrap"}, cases, Path(SPLIT), Path("boot.csv"))
    table = read_rows([Path("boot.csv")])
    plain = table_of(["mt"])
    assert table["spread_over"].tolist() == ["bootstrap", "cases"], "the sound rule keeps its own"
    assert 0 < table["Dice SD"][0] < plain["Dice SD"][0] and table["Dice"].equals(plain["Dice"])
    runs = {"mt": spec_with().runs["mt"]}
    spec = spec_with(runs=runs, rows=["mt"], failed={}, skipped={})
    text = markdown(spec, table, build_views(spec, table))
    assert text.count("SD of 100 means of as many test cases") == 1 == text.count("± is the population SD over cases")


def test_the_largest_change_of_rule_is_told_with_both_numbers(default):
    assert largest_rule_change(default)[["method", "column"]].tolist() == ["mt", "Rod"]
    assert rule_change(default) == (
        "The choice of rule changes Rod of MT & co_1 most: 72.92 under the published rule, 87.50 under the sound one."
    )
    assert rule_change(default.assign(rule_change=0.0)) == "The choice of rule changes no percentage of this table."


def test_notes_tell_sources_tests_and_doubts(project):
    names = {**finished_table.tabulation()["names"], "mt": ["MT"]}
    spec = spec_with(names=names, printed=[FULL])
    views = build_views(spec, table_of())
    assert about_views(spec, views)[0].startswith("Printed: guidednet, table 1 (42 labelled, 378 unlabelled).")
    _, brackets, groups, tests = about_views(spec, views)
    assert "against Sup only over test cases" in tests and "lucky seed" not in tests, "there are two runs"
    assert brackets.startswith("Brackets: 95 % interval over test cases and runs")
    assert "Simulated coverage 0.96 at n = 6 and 2 runs; 0.93 if 8 % of the cases are nearly missed." in brackets
    assert "over test cases and runs, and corrected for all pairs of a column at 0.05" in groups
    assert "± in print: over runs." in about_views(spec, views)[0] and "not ranked" in groups
    views.loc[(views["method"] == "mt") & (views["column"] == "Dice"), "printed_flag"] = "doubtful"
    assert "Printed numbers of doubtful reading (?): MT (Dice)." in about_views(spec, views)
    missing = spec.model_copy(update={"runs": {"mt": spec.runs["mt"]}})
    assert about_views(missing, views)[-1] == "No tests: the reference Sup only was not rebuilt."


def test_organs_that_the_preparation_lost_are_counted_in_the_notes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scores = finished_table.score_table("mt")
    assert read_vanished(spec_with()).empty  # no score table is on this machine
    is_lost = (scores["grid"] == "prepared") & (scores["organ"] == "Rod") & scores["case"].isin(["case3", "case4"])
    scores.loc[is_lost, "truth_voxels"] = 0
    finished_table.write_table(Path(finished_table.RUN.format(method="mt", seed=7), "cases.csv"), scores)
    (note,) = about_vanished(spec_with())  # the rod is not in the first case at all
    assert note.endswith("so that rules on that grid count them as absent (2): Rod of case3, Rod of case4.")


def test_grid_without_print_has_no_columns_for_it(project, default):
    spec, table = spec_with(), table_of()
    head = views_grid(spec, table, default, "ASD").head
    assert head == ["ASD", "Published (voxel)", "Sound (mm)", "First", "Ranks", "p (Holm)", "Effect"]
    spec = spec_with(names={**spec.names, "mt": ["MT"]}, printed=[FULL])
    grid = views_grid(spec, table, build_views(spec, table), "Dice")
    assert grid.head[:4] == ["Dice", "Printed (%)", "Published (%)", "Difference"]
    texts = {cells[0][0]: [text for text, _ in cells[1:]] for cells in grid.rows}
    assert texts["MT"][0] == f"{in_print(FULL, 'MT'):.2f} ± 0.48"
    assert texts["MT"][3].startswith("81.25 [") and texts["MT"][3].endswith("] ▲")
    assert texts["Sup only"][4:] == ["1 %", "2", "reference", "–"] and texts["MT"][4:6] == ["99 %", "1"]
    marks = {cells[0][0]: [mark for _, mark in cells[1:]] for cells in grid.rows}
    assert marks["MT"][:4] == ["", "best", "", "best"], "print gives no cases, so its numbers have no rank"


def test_cost_sums_hours_and_takes_the_largest_peak(project, tmp_path):
    entry = {"device": "CPU", "threads": 1, "parameters": 2_000_000, "iterations": 100, "memory": "host"}
    runs = {method: [str(tmp_path / f"{method}{seed}") for seed in SEEDS] for method in ROWS}
    for number, folder in enumerate(runs["mt"], start=1):
        Path(folder).mkdir()
        measured = {"seconds_per_iteration": 0.1 * number, "hours": 2.0 * number, "peak_memory_bytes": number * 2**30}
        share = {"waiting_share": 0.3 if number == 1 else 0.0}  # 3 of the 30 seconds of both runs
        (Path(folder) / "cost.json").write_text(json.dumps({**entry, **measured, **share}))
    control = {**entry, "iterations": 0, "seconds_per_iteration": None, "hours": None, "peak_memory_bytes": None}
    for folder in runs["control_empty"]:
        Path(folder).mkdir()
        (Path(folder) / "cost.json").write_text(json.dumps(control))
    cost = read_cost(spec_with(runs=runs)).set_index("method")
    assert cost.loc["mt"].tolist()[1:] == [2_000_000, pytest.approx(0.15), pytest.approx(0.1), 2.0, 6.0, "CPU"]
    assert cost.loc[["sup_only", "control_empty"], list(COST[2:])].isna().all(axis=None)
    text = cost_as_csv(cost.reset_index()).splitlines()
    assert text[2] == "mt,MT & co_1,2000000,0.1500,0.1000,2.0000,6.0000,CPU"
    assert text[1] == "sup_only,Sup only,,,,,,"
    (Path(runs["mt"][1]) / "cost.json").unlink()  # half of a row is no row
    assert np.isnan(read_cost(spec_with(runs=runs)).set_index("method").loc["mt", "hours"])
    (Path(runs["mt"][1]) / "cost.json").write_text("{")
    with pytest.raises(UserError, match=r"cost\.json is not valid JSON"):
        read_cost(spec_with(runs=runs))
