"""Rows case by case and builds with a verdict: what is printed and written, and what is refused in a sentence."""

import contextlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support import finished_project
from support.records import resealed

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256
from semiseg.cli.main import main
from semiseg.paths import record_path
from semiseg.proof.compare.command import check_comparable
from semiseg.proof.compare.sides import open_side
from semiseg.proof.compare.texts import CASE_HEADS, ROW_HEADS, about_rows, cases_title, line_texts, notes
from semiseg.proof.crate.contents import WORKFLOW
from semiseg.proof.crate.export import export
from semiseg.scoring.paired import Line, Pairs

TABLE = finished_project.TABLE
ROW = "results/tiny/cps.csv"
RUN = f"{finished_project.RUN}/cps/seed1"
WEIGHTS = f"{RUN}/weights.safetensors"
OTHER = "0" * 64


@pytest.fixture
def project(tmp_path_factory, monkeypatch) -> Path:
    folder = finished_project.copy(tmp_path_factory)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("semiseg.report.figures.case.PIXELS_3D", 40)
    return folder


@pytest.fixture
def build(project, tmp_path) -> Path:
    """Another build of the same table, in a folder of its own."""
    shutil.copytree(project, tmp_path / "other")
    return tmp_path / "other"


@pytest.fixture
def crate(project, tmp_path) -> Path:
    Path(WORKFLOW).write_text("# the workflow\n")
    export(TABLE, tmp_path / "crate")
    return tmp_path / "crate"


def told(capfd, *arguments: str | Path) -> tuple[int, str]:
    """Status, and what was printed as one line."""
    status = main(["compare", *map(str, arguments)])
    caught = capfd.readouterr()
    return status, " ".join((caught.out + caught.err).split())


def edited(build: Path, old: str, new: str, path: str = TABLE) -> None:
    """Another number in the table, with a record that fits."""
    file = build / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    forged(build, TABLE, outputs={path: sha256(file)}, inputs={ROW: OTHER})


def forged(build: Path, main: str, *, outputs=(), inputs=(), **changes) -> None:
    """The record of a job with other hashes of some files, and other content."""
    path = build / record_path(main)
    record = read_json(path)
    for side, new in (("outputs", dict(outputs)), ("inputs", dict(inputs))):
        changes[side] = [{**entry, "sha256": new.get(entry["path"], entry["sha256"])} for entry in record[side]]
    resealed(
        path, **{key: {**record[key], **value} if isinstance(value, dict) else value for key, value in changes.items()}
    )


def cell(column: str, row: str = "cps") -> str:
    """A printed field of the table."""
    header, *lines = (line.split(",") for line in Path(TABLE).read_text().splitlines())
    return next(line[header.index(column)] for line in lines if line[0] == row)


# two rows


def test_two_rows_are_compared_column_by_column_and_case_by_case(project, capfd):
    status, text = told(capfd, f"{TABLE}:cps", f"{TABLE}:control_perfect")
    assert status == 0
    assert "2 test cases in both, 2 runs of each" in text and "sound (rule sound)" in text
    assert re.search(r"Dice \d+\.\d\d \d+\.\d\d −\d+\.\d\d undefined undefined: too few cases", text)
    assert "Mean Dice is higher in A in 0 cases, in B in 2, equal in 0." in text
    assert "Both cases (Dice, percentage points" in text and "`--page FILE.html` draws these cases" in text
    assert "Only 2 test cases: a rare failure may be in none of them, so that intervals may be too short." in text


def test_no_line_is_wider_than_eighty_characters(project, build, capfd):
    edited(build, cell("Dice"), "99.99")
    main(["compare", f"{TABLE}:cps", f"{TABLE}:control_perfect"])
    main(["compare", TABLE, "../" * 20 + str(build / TABLE).lstrip("/")])
    assert max(map(len, capfd.readouterr().out.splitlines())) <= 80


def test_the_published_convention_gives_the_numbers_of_the_table(project, capfd):
    _, text = told(capfd, f"{TABLE}:cps", f"{TABLE}:control_perfect", "--convention", "published")
    assert f"Dice {cell('Dice')} {cell('Dice', 'control_perfect')}" in text


def test_the_page_and_the_plot_show_the_cases_with_their_pictures(project, tmp_path, capfd):
    page, plot = tmp_path / "page.html", tmp_path / "plot.svg"
    status, text = told(capfd, f"{TABLE}:cps", f"{TABLE}:control_perfect", "--page", page, "--plot", plot)
    assert status == 0 and f"page: {page}" in text and f"plot: {plot}" in text
    assert "--page FILE" not in text  # it was given
    content = page.read_text(encoding="utf-8")
    assert content.count('<img src="data:image/png;base64,') == 3  # the plot and two cases
    assert "http" not in content and "<script" not in content
    assert "Case phantom_mri_0001: truth and both rows" in content
    assert plot.read_text().startswith("<?xml")


def test_without_predictions_a_sentence_says_how_to_get_them(project, tmp_path, capfd):
    shutil.rmtree(Path(RUN) / "predictions")
    page = tmp_path / "page.html"
    _, text = told(capfd, f"{TABLE}:cps", f"{TABLE}:control_perfect", "--page", page)
    assert "No pictures: the scan of phantom_mri_0" in text
    assert "`snakemake --forcerun predict -- results/tiny.csv`" in text
    assert page.exists()


def test_one_row_of_two_builds_is_compared_too(project, crate, capfd):
    status, text = told(capfd, f"{TABLE}:cps", f"{crate}:cps")
    assert status == 0 and "equal in 2." in text and "A: cps" in text


# two builds


def test_equal_builds_have_the_same_bits(project, build, crate, capfd):
    for other in (build / TABLE, crate):
        status, text = told(capfd, TABLE, other)
        assert status == 0
        assert "Same bits: all 7 files of the table that hold no measured times are equal." in text
        assert "The records of the tables have one id" in text


def test_bits_are_the_same_though_the_processor_is_another(project, build, capfd):
    forged(build, WEIGHTS, environment={"processor": "Other CPU"})
    forged(build, TABLE, inputs={ROW: OTHER})
    status, text = told(capfd, TABLE, build / TABLE)
    assert status == 0 and "Same bits" in text
    assert re.search(r"although there was another processor: .* in A, Other CPU in B \(rule train\)", text)


def test_a_number_off_by_its_last_digit_is_within_rounding(project, build, capfd):
    old = cell("Dice")
    edited(build, old, f"{float(old) + 0.01:.2f}")
    status, text = told(capfd, TABLE, build / TABLE)
    assert status == 0 and "Same within rounding: 1 of 60 numbers differ by at most 0.01" in text


def test_another_processor_is_named_as_the_cause(project, build, tmp_path, capfd):
    old = cell("Dice")
    edited(build, old, f"{float(old) + 3:.2f}")
    forged(build, WEIGHTS, outputs={WEIGHTS: OTHER}, environment={"processor": "Other CPU"})
    ours = read_json(record_path(WEIGHTS))["environment"]["processor"]
    status, text = told(capfd, TABLE, build / TABLE, "--page", tmp_path / "page.html")
    assert status == 1
    assert f"Different: 1 of 60 numbers differ; the largest difference is cps, LA (published), {old} in A" in text
    assert f"By another processor: {ours or 'unknown'} in A, Other CPU in B (rule train)." in text
    assert f"It begins at {WEIGHTS}." in text
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Two builds of tiny: different" in page and "Other CPU in B" in page


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"params": {"hyper": {"weight": 0.5}}},
            "By other parameters: hyper.weight is 0.2 in A, 0.5 in B (rule train).",
        ),
        ({"code": {"hash": OTHER, "modules": {"semiseg.learning.loop": "1"}}}, "By other code: "),
        ({"environment": {"device": "NVIDIA H200"}}, "By another device: cpu in A, NVIDIA H200 in B (rule train)."),
        ({"environment": {"packages": {"torch": "1.0"}}}, "- another version of torch: "),
        ({"environment": {"threads": 4}}, "By another number of threads: 1 in A, 4 in B (rule train)."),
        ({}, "No record differs in what it names"),
        ({"environment": {"deterministic": False}}, "not bound to give the same bits twice"),
    ],
)
def test_each_kind_of_cause_is_told(project, build, capfd, changes, sentence):
    edited(build, cell("Dice"), "99.99")
    forged(build, WEIGHTS, outputs={WEIGHTS: OTHER}, **changes)
    status, text = told(capfd, TABLE, build / TABLE)
    assert status == 1 and sentence in text


def test_several_causes_are_not_told_apart(project, build, capfd):
    edited(build, cell("Dice"), "99.99")
    forged(build, WEIGHTS, outputs={WEIGHTS: OTHER}, environment={"processor": "Other CPU", "threads": 2})
    _, text = told(capfd, TABLE, build / TABLE)
    assert "By one of these or several, which the records do not tell apart: - another processor: " in text
    assert "- another number of threads: 1 in A, 2 in B (rule train)" in text


def test_other_raw_files_are_the_cause_whatever_the_machine(project, build, capfd):
    edited(build, cell("Dice"), "99.99")
    raw = "data/raw/phantom_mri/manifest.json"
    forged(build, raw, outputs={raw: OTHER}, environment={"processor": "Other CPU"})
    _, text = told(capfd, TABLE, build / TABLE)
    assert f"By other files: {raw} lists other contents (rule raw)." in text


def test_without_the_records_behind_the_tables_own_records_are_compared(project, build, capfd):
    edited(build, cell("Dice"), "99.99")
    forged(build, TABLE, environment={"processor": "Other CPU"})
    shutil.rmtree(build / "results/runs")
    shutil.rmtree(build / "results/tiny")
    shutil.rmtree(build / "data")
    _, text = told(capfd, TABLE, build / TABLE)
    assert "Not all records behind the tables are here" in text and "Other CPU in B (rule table)" in text


def test_a_build_of_another_version_is_compared_though_its_rows_are_not(project, build, capfd):
    edited(build, cell("Dice"), "99.99")
    forged(build, TABLE, params={"of_another_version": 1})
    status, text = told(capfd, TABLE, build / TABLE)
    assert status == 1 and "Different: 1 of 60 numbers differ" in text
    status, text = told(capfd, f"{TABLE}:cps", f"{build / TABLE}:cps")
    assert status == 2 and "is no specification of this version" in text


# what is refused


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (f"{TABLE}:cp", f"{TABLE}:cps", "table tiny has no row 'cp'; it has: cps, control_perfect; did you mean cps?"),
        (f"{TABLE}:", TABLE, "lacks a row after the colon: name results/TABLE.csv, results/TABLE.csv:ROW, a crate"),
        (":cps", TABLE, "lacks a table before the colon"),
        (f"{TABLE}:cps", TABLE, "names a row and results/tiny.csv does not: name a row on both sides or on neither"),
        ("results/tny.csv", TABLE, "did you mean tiny?"),
        (
            "../nowhere/results/tiny.csv",
            TABLE,
            "is not here: build it in its project with `snakemake results/tiny.csv`",
        ),
        ("params.yaml", TABLE, "params.yaml is neither a table nor a crate: name results/TABLE.csv"),
        ("results/tiny.sound.csv", TABLE, "is neither a table nor a crate"),
    ],
)
def test_a_wrong_side_is_refused_in_a_sentence(project, capfd, first, second, sentence):
    status, text = told(capfd, first, second)
    assert status == 2 and sentence in text and text.count("error:") == 1


def test_a_table_without_its_record_is_refused(project, build, capfd):
    (build / record_path(TABLE)).unlink()
    status, text = told(capfd, TABLE, build / TABLE)
    assert status == 2
    assert "results/tiny.csv has no lineage record, so it cannot be compared: build the table again, or bring" in text


def test_a_table_that_is_not_the_recorded_one_is_refused(project, build, capfd):
    for form in (".csv", ".sound.csv"):
        path = build / f"results/tiny{form}"
        path.write_text(path.read_text() + "\n")
        status, text = told(capfd, TABLE, build / TABLE)
        assert status == 2 and f"results/tiny{form} is not the file that the table's record names" in text
        path.write_text(path.read_text()[:-1])


def test_values_per_case_that_were_changed_or_lost_are_refused(project, capfd):
    path = Path("results/tiny.cases.csv")
    path.write_text(path.read_text().replace("100.0000", "99.0000", 1))
    status, text = told(capfd, f"{TABLE}:cps", f"{TABLE}:control_perfect")
    assert status == 2 and "results/tiny.cases.csv is not the file that the table's record names" in text
    path.unlink()
    status, text = told(capfd, f"{TABLE}:cps", f"{TABLE}:control_perfect")
    assert status == 2 and "tiny.cases.csv is missing, which holds the values per case" in text


def test_a_damaged_crate_is_refused(project, crate, tmp_path, capfd):
    with (crate / TABLE).open("a") as file:
        file.write("\n")
    status, text = told(capfd, TABLE, crate)
    assert status == 2 and f"{crate}: {TABLE} was changed (expected sha256" in text
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    assert told(capfd, TABLE, tmp_path / "broken.zip")[0] == 2


def test_tables_without_a_common_row_or_case_are_refused(project, build, capfd):
    path = build / TABLE
    for form in ("results/tiny.csv", "results/tiny.sound.csv"):
        file = build / form
        file.write_text(file.read_text().replace("\ncps,", "\nmt,").replace("\ncontrol_perfect,", "\ndhc,"))
        forged(build, TABLE, outputs={form: sha256(file)})
    status, text = told(capfd, TABLE, path)
    assert status == 2 and "none in common" in text
    cases = build / "results/tiny.cases.csv"
    cases.write_text(cases.read_text().replace("phantom_mri_", "elsewhere_"))
    forged(build, TABLE, outputs={"results/tiny.cases.csv": sha256(cases)})
    status, text = told(capfd, f"{TABLE}:cps", f"{path}:cps")
    assert status == 2 and "have no test case in common: name rows of tables with one test list" in text
    forged(build, TABLE, params={"dataset": "la"})
    status, text = told(capfd, TABLE, path)
    assert status == 2 and "is about phantom_mri" in text and "about la, so that they have no case in common" in text


def test_a_plot_needs_two_rows_and_a_known_form(project, tmp_path, capfd):
    assert (
        "it draws two rows, into a file that ends in .png, .svg, .pdf"
        in told(capfd, TABLE, TABLE, "--plot", "a.png")[1]
    )
    assert told(capfd, f"{TABLE}:cps", f"{TABLE}:cps", "--plot", "a.txt")[0] == 2


def test_the_help_says_what_the_exit_status_means(capfd):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = " ".join(capfd.readouterr().out.split())
    assert "0 for two rows, and for two builds that are the same within rounding; 1 for builds that differ" in text
    assert "results/TABLE.csv:ROW" in text


@pytest.mark.parametrize("form", [".sound.csv", ".views.csv", ".cases.csv", ".md", ".metrics.json"])
def test_any_changed_file_of_a_table_is_refused(project, build, capfd, form):
    path = build / TABLE.replace(".csv", form)
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    status, text = told(capfd, TABLE, build / TABLE)
    assert status == 2 and path.name in text


def test_builds_have_both_conventions(project, build, capfd):
    status, text = told(capfd, TABLE, build / TABLE, "--convention", "published")
    assert (status, "two builds are compared under both; leave it out" in text) == (2, True)


@pytest.mark.parametrize(
    ("changed", "convention", "sentence"),
    [
        ({"metrics": ["asd"]}, "sound", "has no Dice, by which cases are compared: add dice to the table's metrics"),
        ({"published": "dhc"}, "published", "are scored by different rules under the published convention"),
        ({"published": "dhc"}, "sound", None),
        ({"preparation": {"axes": "zyx", "steps": []}}, "published", "have other voxels"),
        ({"preparation": {"axes": "zyx", "steps": []}}, "sound", None),
    ],
)
def test_numbers_of_different_kinds_are_refused(project, changed, convention, sentence):
    with contextlib.ExitStack() as stack:
        one = open_side(f"{TABLE}:cps", stack)
    other = replace(one, record={**one.record, "params": one.record["params"] | changed})
    with pytest.raises(UserError, match=sentence) if sentence else contextlib.nullcontext():
        check_comparable(one, other, convention)


# the words about two rows


@pytest.fixture
def few() -> Pairs:
    """Seven cases of one organ: A is a little farther in six, and far nearer in one. Without p for Jaccard."""
    far = Line("ASD", 5.0, 6.0, -1.0, -40.3, 7.65, 0.03, 7, 1, 6)
    near = replace(far, column="Dice", low=-3.0, high=-0.5)
    frame = pd.DataFrame({"LA": [-1.0] * 7, "mean": [-1.0] * 7}, index=[f"case{n}" for n in range(7)])
    return Pairs((near, replace(near, column="Jaccard", p=float("nan")), far), frame, frame, frame, 1)


def test_few_cases_and_the_least_p_are_told(few):
    text = " ".join(notes(few))
    assert "Only 7 test cases: a rare failure" in text and "with 7 cases no p below 0.016 is possible." in text
    many = replace(few, lines=tuple(replace(line, pairs=10) for line in few.lines))
    assert "Only" not in " ".join(notes(many))


def test_an_interval_that_holds_zero_beside_a_small_p_is_explained(few):
    assert "Interval and p disagree on ASD: the interval is of the mean difference" in " ".join(notes(few))
    agreed = replace(few, lines=few.lines[:2])
    assert "disagree" not in " ".join(notes(agreed))
    for low, high, p in ((-2.0, 1.0, 0.2), (0.5, 1.0, 0.01)):
        both = replace(few, lines=(replace(few.lines[0], low=low, high=high, p=p),))
        assert "disagree" not in " ".join(notes(both))
    other = replace(few, lines=(replace(few.lines[0], low=0.5, high=1.0, p=0.2),))
    assert "disagree on Dice" in " ".join(notes(other))


def test_no_note_asserts_that_the_two_rows_differ(few):
    assert "may not part two rows that have a small p here" in " ".join(notes(few))


def test_all_numbers_have_one_kind_of_minus(few):
    texts = [text for line in few.lines for text in line_texts(line)]
    assert "[−40.30, 7.65]" in texts and not any("-" in text for text in texts)
    assert "-" not in "".join((*ROW_HEADS, *CASE_HEADS))


@pytest.mark.parametrize(
    ("shown", "cases", "words"), [(1, 1, "The only case"), (2, 2, "Both"), (6, 6, "All 6"), (10, 11, "The 10 cases")]
)
def test_the_list_of_cases_says_how_many_there_are(shown, cases, words):
    assert cases_title(shown, cases).startswith(f"{words} ") and ("most" in cases_title(shown, cases)) == (cases == 11)


def test_units_are_told_of_the_columns_that_are_there(project, few):
    with contextlib.ExitStack() as stack:
        sides = [open_side(f"{TABLE}:{row}", stack) for row in ("cps", "control_perfect")]
        told = about_rows(*sides, "sound", few)["convention"]
        assert told == "sound (rule sound); Dice and Jaccard in percent, distances in mm"
        told = about_rows(*sides, "sound", replace(few, lines=few.lines[:1]))["convention"]
        assert told == "sound (rule sound); Dice in percent"
