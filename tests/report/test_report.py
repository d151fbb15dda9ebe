"""The page: what it says, draws, links to and admits to lack."""

import base64
import contextlib
import html
import io
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support import ROOT, finished_project, finished_table
from support.finished_table import AFFINE, CASES, ROWS, SPLIT

from semiseg import __version__
from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.base.volume import Volume
from semiseg.cli.main import main
from semiseg.data.images import write_nifti
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.graph.specs import Specs, as_text
from semiseg.params.reading import read
from semiseg.params.table_spec import RowSpec, TableSpec, as_json, read_spec
from semiseg.paths import ROW
from semiseg.proof.crate.contents import gather
from semiseg.report.cells import read_rows
from semiseg.report.charts import are_wide, choose_looks, draw_boxes
from semiseg.report.cost import read_cost
from semiseg.report.lineage import lineage_of_rows
from semiseg.report.page import _headline, write_page
from semiseg.report.pictures import best_slices, radiological, surroundings
from semiseg.report.score_tables import shade, shade_difference
from semiseg.report.sources import find_median_case, read_dice
from semiseg.report.texts import describe_making
from semiseg.report.views import build_views
from semiseg.stages.row import row

PAGE = Path("results/toy.html")


@pytest.fixture
def project(tmp_path, monkeypatch):
    finished_table.build(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written_page(seeds: tuple[int, ...] = (7,), **changes) -> str:
    spec = finished_table.table_spec(seeds, **changes)
    paths = [Path(f"results/toy/{method}.csv") for method in ROWS]
    for method, path in zip(ROWS, paths, strict=True):
        cases = [Path(folder) / "cases.csv" for folder in finished_table.tabulation(seeds)["runs"][method]]
        row(finished_table.scoring(method), cases, Path(SPLIT), path)
    table = read_rows([path for path in paths if path.stem in spec.runs])
    write_page(spec, table, build_views(spec, table), read_cost(spec), PAGE)
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of the table as it is."""
    folder = tmp_path_factory.mktemp("page")
    finished_table.build(folder)
    with contextlib.chdir(folder):
        return written_page()


@pytest.mark.parametrize("table", ["demo", "la_8", "flare22_10pct", "guidednet_t3", "synapse_10pct"])
def test_a_specification_is_the_same_after_json(table):
    specs = Specs(Plan(read(ROOT / "params.yaml")))
    rows = [specs.row(table, method) for method in specs.table(table).rows]
    for spec in (specs.table(table), *rows):
        text = as_text(as_json(spec))
        again = read_spec(type(spec), json.loads(text), "the test")
        assert (again, as_text(as_json(again))) == (spec, text)


def test_a_specification_of_another_version_is_refused_with_the_wrong_keys(project):
    content = {**finished_table.tabulation(), "seeds": "7", "colour": "red"}
    del content["prepared"]
    with pytest.raises(UserError, match=r"of this version \(seeds: expected .*; prepared is missing.*; colour is not"):
        read_spec(TableSpec, content, "the record of results/toy.csv")


def test_the_specification_of_these_tests_is_complete():
    assert as_json(finished_table.table_spec()) == finished_table.tabulation()
    assert as_json(RowSpec.model_validate(finished_table.scoring("mt"))) == finished_table.scoring("mt")


def test_page_is_self_contained_and_escaped(page):
    assert "Toy &lt;table&gt; &amp; 50 % of it" in page
    assert re.findall(r'(?:src|href)="(?!data:)(?:\w+:|/)[^"]*"', page) == []
    assert len(page) < 3e6


def test_page_names_a_precision_that_is_not_published(project):
    spec = TableSpec.model_validate(finished_table.tabulation())
    fast = spec.model_copy(update={"training": spec.training.model_copy(update={"precision": "fast"})})
    text = describe_making(fast, read_json(Path(spec.split)))
    assert (
        "Precision of the training: fast (bfloat16, weights channels last, fused optimiser), not as published." in text
    )


def test_page_names_an_interval_of_one_epoch_without_a_number(project):
    spec = finished_table.table_spec()
    often = spec.training.validation.model_copy(update={"every": 1, "per": "epoch", "first": None})
    changed = spec.model_copy(update={"training": spec.training.model_copy(update={"validation": often})})
    assert "cases, measured every epoch; test" in describe_making(changed, read_json(Path(spec.split)))


def test_page_says_once_what_all_rows_of_a_method_have_in_common(project):
    """Rows come in the table's order, whatever the order of the runs."""
    rows = ("whole", "weak", "sup_only")
    forms = {"whole": {"mining": "hard", "noise": "none"}, "weak": {"mining": "hard", "noise": "weak"}, "sup_only": {}}
    spec = finished_table.table_spec(
        rows=rows,
        names={"whole": ["Whole"], "weak": ["Weak"], "sup_only": ["Sup"]},
        runs={row: ["somewhere"] for row in sorted(rows)},
        hyper=forms,
        variants={"whole": {"base": "mt", "changed": {}}, "weak": {"base": "mt", "changed": {"noise": "weak"}}},
    )
    text = describe_making(spec, read_json(Path(spec.split)))
    assert text.endswith(" Forms of the methods: all rows of mt: mining hard; Whole: noise none; Weak: noise weak.")


def test_page_tells_how_the_table_was_made(page):
    assert "2 labelled, 3 unlabelled, 1 validation, 6 test cases" in page
    assert "One run per row (seed 7): a ± of its numbers is over test cases, where their table says so." in page
    assert "of the validation cases, measured every 2 iterations, first after 50;" in page
    assert "Order of the cases: each list in one random order after the other." in page
    assert "Precision of the training: as published: float32." in page
    assert "Forms of the methods: MT &amp; co_1: form released" in page
    assert "Published convention (rule la)" in page
    assert "Sound convention (rule sound)" in page
    assert "Best mean Dice (%): MT &amp; co_1" in page


def test_page_shows_means_spreads_and_counts(page):
    rows = re.findall(r"<tr class=\"\">(.*?)</tr>", page[page.index("Sound convention") :], re.S)
    mt = next(found for found in rows if "MT &amp;" in found)
    assert re.sub(r"<[^>]+>", " ", mt).split()[3:9] == ["2", "3", "81.25", "(best)", "±", "2.33"]
    assert "best" in mt


def test_page_names_its_marks_in_words_and_its_spreads_at_their_place(page):
    assert '<span class="words"> (best)</span>' in page
    assert re.search(r">60\.00<span class=\"words\"> \(cannot be told from the best\)</span>", page)
    assert '<span class="missed"><span class="words">, missed </span>×1</span>' in page
    assert page.count("mean over organs and cases, ± over cases</th>") == 2
    assert '<p class="warning">Only 6 test cases: a rare failure may be in none of them' in page
    assert "is the most that a label map on that grid can reach" in page
    assert "One run per row: what another seed would give" in page
    assert "they cannot tell a better method from a lucky seed" in page


def test_a_table_without_a_paper_has_no_rule_of_a_paper(project):
    text = written_page(paper=None)
    assert (
        "The means under rule la (published) and under a sound rule." in text and "paper" not in text.split("<h2>")[1]
    )
    assert "The means under the paper's own rule (published)" in written_page()


def test_page_can_be_skipped_touched_and_read_in_the_dark(page):
    assert '<a class="skip" href="#views">' in page and 'id="views"' in page
    assert page.count('aria-describedby="about-rows"') > 4 and page.count('id="about-rows"') == 1
    assert re.search(r"\.row \{ min-width: 24px; min-height: 24px;", page) and "prefers-color-scheme: dark" in page
    assert re.search(r'alt="[^"]*: MT &amp; co_1, mean Dice [\d.]+ %"', page)


def test_same_inputs_same_bytes(project, page):
    assert written_page() == page


def test_controls_are_admitted_not_drawn(page):
    assert "No learning curve for perfect, empty: controls are not trained." in page
    assert "Controls are not drawn" in page


def test_pictures_are_there_for_the_truth_and_every_trained_row(page):
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(pictures) == 3
    sizes = {Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures}
    assert len(sizes) == 1
    assert len(set(pictures)) == 3


def test_missing_pieces_are_told(project):
    shutil.rmtree("results/runs/mt/seed7/predictions")
    Path("results/runs/sup_only/seed7/history.csv").unlink()
    text = written_page()
    assert "MT &amp; co_1 is not drawn: its prediction of this case is not on this machine." in text
    assert "No learning curve for Sup only: their runs have no history with steps." in text
    shutil.rmtree("data/prepared")
    assert "No picture: the scores or the prepared cases are not on this machine." in written_page()


def test_prediction_on_another_grid_is_refused(project):
    path = Path(f"results/runs/mt/seed7/predictions/{CASES[2]}.prepared.nii.gz")
    for file in path.parent.iterdir():
        write_nifti(file, Volume(np.zeros((3, 3, 3), np.uint8), AFFINE))
    finished_table.list_predictions(path.parent.parent)
    with pytest.raises(UserError, match="does not lie on the grid of the prepared case"):
        written_page()


def test_several_seeds(project):
    finished_table.build(project, (7, 8))
    text = written_page((7, 8))
    assert "2 runs per row (seeds 7, 8)." in text
    assert "A line per run" in text


def test_dice_per_case_and_the_median_case(project):
    dice = read_dice(finished_table.table_spec())
    mt = dice[(dice["method"] == "mt") & (dice["organ"] == "Box")]
    assert mt["dice"].tolist() == [75.0] * 6
    assert len(dice[(dice["method"] == "mt") & (dice["organ"] == "Rod")]) == 5
    # by case: (75 + 50) / 2 without a rod, four times (81.25 + 62.5) / 2, and (81.25 + 25) / 2 where one rod is missed
    assert find_median_case(dice) == CASES[1]


def test_radiological_orientation(project):
    scan = radiological(finished_table.truth(CASES[1]), AFFINE)
    assert scan.array.shape == (16, 12, 10)
    assert scan.spacing == (1.0, 2.0, 3.0)
    assert scan.size_mm("axial") == (16, 24)
    assert scan.size_mm("coronal") == (16, 30)
    assert scan.size_mm("sagittal") == (24, 30)


@pytest.mark.parametrize(
    ("plane", "corner"), [("axial", "right front"), ("coronal", "right top"), ("sagittal", "front top")]
)
def test_corners_lie_where_a_radiologist_expects_them(plane, corner):
    # one marked voxel at the patient's right, front and top, in an array that runs to the right, front and top (RAS)
    array = np.zeros((4, 5, 6), np.uint8)
    array[3, 4, 5] = 1
    scan = radiological(array, np.diag([1.0, 1, 1, 1]))
    assert scan.cut(plane, 0)[0, 0] == 1, corner


def test_slices_meet_the_most_organs():
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1:5, 1:5, 2] = 1  # the largest area
    labels[1:3, 1:3, 4], labels[4, 4, 4] = 1, 2  # both organs
    scan = radiological(labels, np.diag([-1.0, -1, -1, 1]))
    assert best_slices(scan, [1, 2])["axial"] == 4


def test_surroundings_hold_every_mark_and_20_mm():
    labels = np.zeros((60, 60, 60), np.uint8)
    labels[30, 30, 30] = 1
    other = np.zeros_like(labels)
    other[35, 30, 30] = 1
    affine = np.diag([-2.0, -1, -10, 1])
    box = surroundings([radiological(labels, affine), radiological(other, affine)])
    assert box == (slice(20, 46), slice(10, 51), slice(28, 33))


def test_looks_are_distinct_up_to_twenty_one_methods_and_grey_for_controls():
    looks = choose_looks({f"m{number}": "x" for number in range(21)} | {"control_empty": "e"})
    assert len({(look.colour, look.dash) for name, look in looks.items() if name != "control_empty"}) == 21
    assert len({(look.colour, look.css) for name, look in looks.items() if name != "control_empty"}) == 21
    assert looks["control_empty"].colour not in {look.colour for name, look in looks.items() if name != "control_empty"}


def test_boxes_of_many_methods_have_wide_panels():
    looks = choose_looks({f"m{number}": f"method {number}" for number in range(9)})
    dice = pd.DataFrame([(name, "c", "a", 50.0) for name in looks], columns=["method", "case", "organ", "dice"])
    few = dict(list(looks.items())[:8])
    widths = [
        float(re.search(r'viewBox="0 0 ([\d.]+)', draw_boxes(dice, ["a"], chosen)[0])[1]) for chosen in (few, looks)
    ]
    assert widths[1] == 2 * widths[0] and are_wide(looks) and not are_wide(few)


@pytest.mark.parametrize(
    ("equal", "names"),
    [(1, "m0"), (2, "m0 and m1"), (4, "m0, m1, m2 and m3"), (5, "m0, m1, m2 and 2 more rows")],
)
def test_the_headline_names_few_of_many_equal_rows_and_what_cannot_be_told_from_them(equal, names):
    rows = [
        {"method": f"m{row}", "label": f"m{row}", "column": "Dice"}
        | dict.fromkeys(("published", "sound"), 50.0 if row < equal else 40.0)
        | {"published_group": "best" if row < equal else "tied", "sound_group": ""}
        for row in range(7)
    ]
    table = pd.DataFrame({"method": ["m0"], "Dice": [50.0], "unit": ["mm"]})
    tied = {1: "m1, m2, m3 and 3 more rows", 2: "m2, m3, m4 and 2 more rows", 4: "m4, m5 and m6", 5: "m5 and m6"}[equal]
    told = f"{names} 50.00 (published), which cannot be told from {tied}"
    assert _headline(table, pd.DataFrame(rows)) == f"Best mean Dice (%): {told}"
    nothing = pd.DataFrame(rows).assign(published_group="")
    assert _headline(table, nothing) == "No best mean Dice (%): the rows cannot be told apart"
    assert _headline(table, nothing.assign(method="control_empty")) == "No row but controls"


def test_three_views_stand_side_by_side(project, page):
    names = {**finished_table.tabulation()["names"], "mt": ["MT"]}
    block = {"paper": "guidednet", "table": "1", "labelled": 42, "unlabelled": 378}
    text = written_page(names=names, printed=[block])
    assert {"In print", "Published minus printed"} < set(re.findall(r"<h3>(.*?)</h3>", text))
    parts = dict(re.findall(r"<h3>(.*?)</h3>(.*?)</table>", text, re.S))
    assert "per organ" in parts["Published convention (rule la)"]
    assert not any("per organ" in parts[name] for name in ("In print", "Published minus printed"))
    rows = [
        re.sub(r"<[^>]+>", " ", row) for row in re.findall(r"<tr class=\"\">(.*?)</tr>", text, re.S) if ">MT<" in row
    ]
    cells = rows[0].split()
    assert cells[:4] == ["MT", "77.49", "±", "0.48"]
    assert "81.25 (best) ▲" in re.sub(r"\s+", " ", rows[0])
    assert "Best mean Dice (%): MT" in text and "The choice of rule changes Rod of MT most" in text
    assert page.count("<h3>In print</h3>") == 0


def test_page_shows_the_optimism_of_a_choice_on_the_test_list(project, page):
    rule = {"every": 200, "per": "iteration", "first": 800, "region": "volume", "absent": "zero"}
    chosen = written_page(checkpoints={"mt": {"rule": "best_test", "selection": rule, "last": "sup_only"}})
    section = chosen.partition('<section id="optimism">')[2].partition("</section>")[0]
    assert re.search(r'<th scope="row">MT &amp; co_1</th><td>\+\d+\.\d\d \[', section)
    assert "CHOSEN ON THE TEST LIST" in section and "first after 800: CHOSEN ON THE TEST LIST" in chosen
    assert "MT &amp; co_1 (chosen on the test list)" in chosen.partition('<p class="headline">')[2].partition("</p>")[0]
    assert 'id="optimism"' not in page


def test_a_leak_and_an_organ_that_no_row_found_are_warnings_above_the_few_cases(project):
    split = json.loads(Path(SPLIT).read_text())
    Path(SPLIT).write_text(json.dumps({**split, "serious": ["patient P2 is on both sides"]}))
    for method in ("mt", "sup_only"):
        path = Path(f"results/runs/{method}/seed7/cases.csv")
        scores = pd.read_csv(path)
        lost = scores["organ"] == "Rod"
        scores.loc[lost, ["predicted_voxels", "overlap_voxels"]] = 0
        scores.to_csv(path, index=False)
    warnings = re.findall(r'<p class="warning">(.*?)</p>', written_page())
    assert [warning.split()[0] for warning in warnings] == ["Split", "No", "Only"]
    assert "misleads: patient P2 is on both sides." in warnings[0] and warnings[1] == "No row found rod."


def test_page_tells_what_was_not_built_and_what_the_rest_cost(project):
    runs = finished_table.tabulation()["runs"]
    del runs["mt"]
    cost = {"device": "some GPU", "parameters": 1_500_000, "iterations": 10, "hours": 1.25}
    (Path(runs["sup_only"][0]) / "cost.json").write_text(
        json.dumps({**cost, "seconds_per_iteration": 0.5, "waiting_share": 0.034, "peak_memory_bytes": 2**31})
    )
    text = written_page(runs=runs, failed={"mt": "train did not finish, see <log>"})
    assert "MT &amp; co_1 was not rebuilt: train did not finish, see &lt;log&gt;." in text
    assert 'class="unbuilt"' in text
    assert "MT &amp; co_1 is not drawn" not in text
    section = re.sub(r"<[^>]+>|\s+", " ", text[text.index('<section id="cost">') :])
    assert "Sup only 1.50 0.500 3.4 2.00 1.25 some GPU" in re.sub(" +", " ", section)


def test_tables_have_captions_and_scopes(page):
    assert page.count("<table") == page.count("<caption>") >= 7
    assert re.findall(r"<th(?! scope)", page.replace("<thead", "")) == []


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A project that its own jobs have built, with two runs a row."""
    return finished_project.copy(tmp_path_factory)


def test_every_link_of_a_real_page_leads_to_a_file_that_a_crate_has_too(real, monkeypatch):
    monkeypatch.chdir(real)
    Path("Snakefile").touch()  # a crate is not written without one
    page = Path("results/tiny.html")
    links = re.findall(r'href="([^#"]*)"', page.read_text(encoding="utf-8"))
    paths = {os.path.normpath(page.parent / unquote(html.unescape(link))) for link in links}
    assert [path for path in paths if not Path(path).is_file()] == []
    assert paths - gather(finished_project.TABLE).pieces.keys() == set()
    records = {
        path.as_posix() for path in [*Path("data").rglob("*.lineage.json"), *Path("results").rglob("*.lineage.json")]
    }
    assert {path for path in paths if path.endswith(".lineage.json")} == records


def test_a_real_table_carries_its_record_commit_and_version_in_every_form(real, monkeypatch):
    monkeypatch.chdir(real)
    record = read_json(Path("results/tiny.csv.lineage.json"))
    page = Path("results/tiny.html").read_text(encoding="utf-8")
    assert f"as <code>semiseg audit</code> prints it: <code>{record['id']}</code>" in page
    top = page.partition("</header>")[0]
    assert f"Record <code>{record['id'][:12]}</code>, semiseg {__version__}" in top
    commit = record["source"]["commit"]
    assert commit is None or f"commit <code>{commit[:12]}</code>" in top
    rows = [read_json(Path(f"results/tiny/{name}.csv.lineage.json"))["id"][:12] for name in finished_project.ROWS]
    for form in (".md", ".tex"):
        assert all(name in Path("results/tiny").with_suffix(form).read_text(encoding="utf-8") for name in rows)


def test_the_commands_of_a_real_page_can_be_pasted(real, monkeypatch, capsys):
    monkeypatch.chdir(real)
    page = Path("results/tiny.html").read_text(encoding="utf-8")
    commands = {html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page)}
    assert len(commands) == len(finished_project.ROWS) + 1
    for command in sorted(commands):
        program, *arguments = shlex.split(command)
        assert (program, main(arguments)) == ("semiseg", 0), command
    told = capsys.readouterr().out
    assert "results/tiny.csv: proven" in told and "cps, Dice:" in told


@pytest.mark.parametrize("table", ["demo", "la_8", "flare22_10pct", "guidednet_t3"])
def test_the_lineage_of_a_row_is_the_chain_that_the_planner_wants(table):
    graph = Graph(Plan(read(ROOT / "params.yaml")))
    page = Path(f"results/{table}.html")
    for method, told in lineage_of_rows(graph.specs.table(table), page).items():
        chain = graph.chain(ROW.format(table=table, method=method))
        listed = [*told["numbers"], *(file for run in told["runs"] for file in run["files"]), *told["data"]]
        named = {file["path"]: os.path.normpath(page.parent / file["record"]) for file in listed}
        wanted = {job.main: job.record for job in chain if job.rule not in ("standin", "download")}
        assert named == {page.with_suffix(".csv").as_posix(): f"results/{table}.csv.lineage.json", **wanted}


def test_the_name_of_a_built_row_opens_its_lineage(project):
    runs = finished_table.tabulation()["runs"]
    del runs["mt"]
    text = written_page(runs=runs, failed={"mt": "train did not finish"})
    opened = re.findall(r'<button type="button" class="row" popovertarget="([^"]+)"', text)
    boxes = re.findall(r'<div class="lineage" popover id="([^"]+)"', text)
    assert boxes == [f"lineage-{method}" for method in ROWS if method != "mt"]
    tables = {"sup_only": 7, "control_perfect": 6, "control_empty": 6}  # controls stand in no table of cost
    assert {box: opened.count(box) for box in opened} == {f"lineage-{name}": count for name, count in tables.items()}
    label = html.escape(ROWS["mt"])
    assert f"{label}</button>" not in text and re.search(rf"</span>{label}\s*</th>", text)


def test_lineage_is_escaped(project):
    runs = {
        method: [folder.replace("runs", "a <b>#&'") for folder in it]
        for method, it in finished_table.tabulation()["runs"].items()
    }
    told = lineage_of_rows(finished_table.table_spec(runs=runs), PAGE)["mt"]
    assert told["runs"][0]["files"][0]["record"] == "a%20%3Cb%3E%23%26%27/mt/seed7/cases.csv.lineage.json"
    text = written_page()
    assert "MT &amp; co_1: what this row was made from" in text
    assert "--row mt --column Rod</pre>" in text


def test_colour_of_a_difference_says_better_or_worse():
    limits = {"percent": 4.0, "ASD": 2.0, "95HD": 0.0}
    assert shade_difference(4.0, "Dice", limits) == shade_difference(-2.0, "ASD", limits) == shade("above", 1)
    assert shade_difference(-9.0, "Box", limits) == shade_difference(2.0, "ASD", limits) == shade("below", 1)
    assert shade_difference(2.0, "Dice", limits) == "--end: var(--above); --share: 50%"
    assert shade_difference(float("nan"), "Dice", limits) == shade_difference(1.0, "95HD", limits) == ""


STYLE = (ROOT / "src/semiseg/report/page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    {name: tuple(bytes.fromhex(code)) for name, code in re.findall(r"--(\w+): #(\w{6})", part)}
    for part in STYLE.split("@media screen and (prefers-color-scheme: dark)")[:2]
)


@pytest.mark.parametrize(("colours", "mode"), [(LIGHT, "light"), (DARK, "dark")])
def test_texts_have_contrast_in_both_modes(colours, mode):
    """WCAG 2.2: 4.5 : 1 for text; on the colour scales 7 : 1."""
    for back in ("best", "below", "above"):
        assert contrast(colours["ink"], colours[back]) > 7, back
    for text in ("ink", "soft", "faint", "accent", "warning"):
        assert contrast(colours[text], colours["paper"]) > 4.5, text


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance of WCAG 2.1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in np.array(colour) / 255]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_making_of_a_protocol_without_validation():
    training = finished_table.tabulation()["training"] | {"validation": None, "iterations": None, "epochs": 300}
    spec = finished_table.table_spec((0, 1, 2), training=training)
    parts = {"split": "half", "labelled": ["a"], "unlabelled": [], "val": [], "test": ["b"]}
    text = describe_making(spec, parts)
    assert "300 epochs" in text
    assert "The last checkpoint is used" in text
    assert "seeds 0, 1, 2" in text
