"""The table in its forms, and on the terminal."""

import io
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from support import finished_table
from support.finished_table import ROWS, SPLIT

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.params.table_spec import TableSpec
from semiseg.paths import FORMS
from semiseg.report.cells import read_rows, shares, under
from semiseg.report.latex import latex
from semiseg.report.markdown import markdown
from semiseg.report.show import show
from semiseg.report.views import build_views
from semiseg.scoring.scoring_rule_texts import RULE_TEXTS
from semiseg.scoring.scoring_rules import RULES
from semiseg.stages.row import row
from semiseg.stages.tabulate import tabulate

OUT = Path("results/toy.csv")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project whose table has been built once."""
    root = tmp_path_factory.mktemp("project")
    finished_table.build(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        tabulate(finished_table.tabulation(), write_rows(), OUT)
    return root


@pytest.fixture
def project(built, monkeypatch):
    monkeypatch.chdir(built)
    return built


def written(form, **changes) -> str:
    """The table as Markdown or LaTeX, its specification changed so."""
    spec, table = finished_table.table_spec(**changes), read_rows(write_rows())
    return form(spec, table, build_views(spec, table))


def without_mt() -> dict:
    """A specification whose row ``mt`` has failed and whose row ``dhc`` cannot be served."""
    spec = finished_table.tabulation()
    del spec["runs"]["mt"]
    names = {**spec["names"], "dhc": ["DHC"]}
    left_out = {"failed": {"mt": "train did not finish"}, "skipped": {"dhc": "it asks for equal halves"}}
    return {**spec, **left_out, "names": names, "rows": [*ROWS, "dhc"]}


def write_rows() -> list[Path]:
    paths = [Path(f"results/toy/{method}.csv") for method in ROWS]
    for method, path in zip(ROWS, paths, strict=True):
        row(finished_table.scoring(method), [Path(f"results/runs/{method}/seed7/cases.csv")], Path(SPLIT), path)
    return paths


def rows_with(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"method": ["a", "b", "control_perfect", "c"], **columns})


def test_a_split_that_leaks_is_told_in_every_form(built, tmp_path, monkeypatch):
    """The table's split, and one on which a single row is trained."""
    shutil.copytree(built, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    spec = finished_table.tabulation()
    content = {**read_json(SPLIT), "serious": ["patient P2 is on both sides: a (labelled), b (test)"]}
    write_json(SPLIT, content)
    write_json(
        Path(SPLIT).with_name("other.json"), {**content, "split": "other", "serious": ["c and d show the same scan"]}
    )
    Path("results/runs/other/mt").mkdir(parents=True)
    Path("results/runs/mt/seed7").rename("results/runs/other/mt/seed7")
    spec["runs"]["mt"] = ["results/runs/other/mt/seed7"]
    tabulate(spec, [Path(f"results/toy/{method}.csv") for method in ROWS], OUT)
    for form in (".html", ".md", ".tex"):
        text = OUT.with_suffix(form).read_text(encoding="utf-8")
        assert f"Split {content['split']} misleads: patient P2 is on both sides: a (labelled), b (test)." in text
        assert "Split other misleads: c and d show the same scan." in text


def test_all_forms_are_written(project):
    names = {path.name for path in Path("results").glob("toy.*")}
    assert names == {f"toy{form}" for form in (".csv", *FORMS)}


def test_conventions_go_to_their_own_files_with_controls_last(project):
    published, sound = pd.read_csv(OUT), pd.read_csv(OUT.with_suffix(".sound.csv"))
    assert set(published["convention"]) == {"published"}
    assert set(sound["convention"]) == {"sound"}
    for frame in (published, sound):
        assert list(frame["method"]) == ["sup_only", "mt", "control_perfect", "control_empty"]
    assert sound.set_index("method").loc["mt", "Dice"] == 81.25


def test_csv_numbers_have_two_decimals(project):
    line = Path("results/toy.sound.csv").read_text(encoding="utf-8").splitlines()[2].split(",")
    assert line[:8] == ["mt", "MT & co_1", "sound", "sound", "2", "3", "87.50", "75.00"]


def test_colour_scale_runs_from_worst_to_best():
    assert shares(rows_with(Dice=[80.0, 90.0, 100.0, 85.0]), "Dice") == [0, 1, None, 0.5]
    assert shares(rows_with(ASD=[3.0, 2.0, 0.0, 1.0]), "ASD") == [0, 0.5, None, 1]
    assert shares(rows_with(Dice=[80.0, 80.0, 100.0, 80.0]), "Dice") == [None] * 4


def test_markdown(project):
    text = written(markdown)
    sound = text[text.index("## Sound") :].splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in sound if line.startswith("|")]
    assert table[0][:5] == ["Method", "Labelled", "Unlabelled", "Rod", "Box"]
    assert table[0][7:9] == ["ASD (mm)", "95HD (mm)"]
    assert table[2][:5] == ["Sup only", "2", "0", "<ins>60.00 ×1</ins>", "50.00"]
    assert table[3][:6] == ["MT & co\\_1", "2", "3", "**87.50**", "**75.00**", "**81.25 ± 2.33**"]
    assert table[4][0] == "*perfect (control)*"
    assert "After Nobody, Table 0." in text


def test_latex(project):
    text = written(latex)
    assert r"Toy <table> \& 50 \% of it" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 3
    lines = [line for line in text.splitlines() if line.startswith(r"MT \& co\_1 &")]
    assert [r"\textbf{81.25 $\pm$ 2.33}" in line for line in lines[:2]] == [False, True]
    assert [r"$\blacktriangle$" in line for line in lines] == [False, False, *[True] * 4]
    for part in text.split(r"\begin{tabular}")[1:]:
        columns = [line.count(" & ") for line in part.splitlines() if line.endswith(r"\\")]
        assert set(columns) == {part.split("}")[0].count("r")}
    assert r"\textcolor{gray}{perfect (control)}" in text


def test_views_are_three_where_numbers_are_in_print_and_two_elsewhere(project):
    block = {"paper": "guidednet", "table": "1", "labelled": 42, "unlabelled": 378}
    names = {**finished_table.tabulation()["names"], "mt": ["MT"]}
    assert "## Two views" in written(markdown) and "## Three views" in written(markdown, printed=[block], names=names)
    assert ", two views." in written(latex) and ", three views." in written(latex, printed=[block], names=names)


def test_a_single_organ_is_not_printed_twice(project):
    text = written(markdown, organs=finished_table.tabulation()["organs"][:1])
    assert "| Unlabelled | Dice (%) |" in text


@pytest.mark.parametrize(("form", "dash"), [(markdown, "–"), (latex, "--")])
def test_rows_that_were_not_built_have_dashes_and_a_reason(project, form, dash):
    spec = TableSpec.model_validate(without_mt())
    table = read_rows([Path(f"results/toy/{method}.csv") for method in ROWS if method != "mt"])
    text = form(spec, table, build_views(spec, table))
    rows = [line.replace("|", "&").strip("& ").split(" & ") for line in text.splitlines() if "DHC" in line]
    scores = [cells for cells in rows if len(cells) > 8]
    assert len(scores) == 2 and all(cell.rstrip(" \\") == dash for cells in scores for cell in cells[1:])
    assert "DHC was not rebuilt: it asks for equal halves." in text
    assert "was not rebuilt: train did not finish." in text


def test_a_table_without_any_finished_row_is_refused(project, tmp_path):
    out = tmp_path / "toy.csv"
    with pytest.raises(UserError, match=r"toy has no finished row.*\(mt: train did not finish; dhc: it asks"):
        tabulate(without_mt(), [], out)
    assert not list(tmp_path.iterdir())


def test_a_partial_table_has_its_own_files_and_show_names_what_is_missing(project, tmp_path):
    out = tmp_path / "toy.partial.csv"
    tabulate(without_mt(), [path for path in write_rows() if path.stem != "mt"], out)
    assert {path.name for path in tmp_path.iterdir()} == {f"toy.partial{form}" for form in (".csv", *FORMS)}
    text = shown(out, 200)
    assert "MT & co_1 was not rebuilt: train did not finish\n" in text
    assert "DHC was not rebuilt: it asks for equal halves\n" in text
    tabulate(finished_table.tabulation(), write_rows(), tmp_path / "toy.csv")
    assert not list(tmp_path.glob("toy.partial.*"))


def test_same_runs_same_bytes(project, tmp_path):
    tabulate(finished_table.tabulation(), write_rows(), tmp_path / "toy.csv")
    for suffix in (".csv", ".sound.csv", ".views.csv", ".md", ".tex"):
        again = (tmp_path / "toy.csv").with_suffix(suffix)
        assert again.read_bytes() == OUT.with_suffix(suffix).read_bytes()


def test_every_scoring_rule_has_a_text():
    assert set(RULE_TEXTS) == set(RULES)


def test_damaged_rows_are_told(project, tmp_path):
    good = write_rows()[0]
    half = tmp_path / "half.csv"
    half.write_text("".join(good.read_text(encoding="utf-8").splitlines(keepends=True)[:2]))
    with pytest.raises(UserError, match=r"half\.csv needs two lines, published and sound"):
        read_rows([good, half])
    wide = tmp_path / "wide.csv"
    wide.write_text(good.read_text(encoding="utf-8").replace("Rod", "Tail"))
    with pytest.raises(UserError, match=r"wide\.csv has other columns than"):
        read_rows([good, wide])
    with pytest.raises(UserError, match=r"none\.csv is missing"):
        read_rows([tmp_path / "none.csv"])
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match="cannot be read as a row"):
        read_rows([tmp_path / "empty.csv"])


def test_a_method_may_be_printed_as_na(project, tmp_path):
    path = tmp_path / "na.csv"
    path.write_text(write_rows()[2].read_text(encoding="utf-8").replace("MT & co_1", "NA"))
    assert list(under(read_rows([path]), "sound")["label"]) == ["NA"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_show_prints_every_number_at_any_width(project, width):
    text = shown(OUT.with_suffix(".sound.csv"), width)
    assert "toy (sound convention, rule sound)" in text
    for number in ("87.50", "75.00", "81.25 ± 2.33", "60.00"):
        assert number in text
    table = text.partition("try next:")[0].splitlines()
    assert max(map(len, table)) <= max(width, len("published convention: results/toy.csv"))


def test_show_breaks_no_title_and_leaves_no_count_alone(project):
    counts = ("Labelled", "Unlabelled", "n", "Absent", "Missed", "False pos.")
    for width in range(72, 160):
        lines = [line.rstrip() for line in shown(OUT.with_suffix(".sound.csv"), width).splitlines()]
        assert lines[0] == "toy (sound convention, rule sound)"
        (heads,) = [line for line in lines if "False pos." in line]
        assert all(count in heads for count in counts)
        assert ("Dice (%)" in heads) != ("Cases and counts of organs" in lines)


def test_show_names_its_marks_and_has_none_without_groups(project, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    legend = "*: best; +: cannot be told from the best\n"
    assert legend in shown(OUT, 200)
    for suffix in (".csv", ".sound.csv"):
        shutil.copy(OUT.with_suffix(suffix), tmp_path)
    assert legend not in shown(tmp_path / "toy.csv", 200)
    views = pd.read_csv(OUT.with_suffix(".views.csv"), dtype=str, keep_default_na=False)
    groups = {(line.method, line.column): line.sound_group for line in views.itertuples()}
    console = Console(width=200, file=io.StringIO(), force_terminal=True, color_system="standard")
    show(OUT.with_suffix(".sound.csv"), console)
    text = console.file.getvalue()
    assert (groups["mt", "Rod"], groups["sup_only", "Rod"]) == ("best", "tied")
    assert re.search(r"\x1b\[1m *87\.50", text) and re.search(r"\x1b\[4m *60\.00", text)
    assert not re.search(r"\x1b\[4m *50\.00", text)
    assert "bold: best; underlined: cannot be told from the best\n" in text
    piped = shown(OUT.with_suffix(".sound.csv"), 200)
    assert re.search(r"87\.50\*", piped) and re.search(r"60\.00\+", piped) and not re.search(r"50\.00[*+]", piped)
    older = views.drop(columns=[name for name in views if name.endswith("_group")])
    older.to_csv(tmp_path / "toy.views.csv", index=False)
    assert legend not in shown(tmp_path / "toy.csv", 200), "views of an earlier version have no groups"


def test_show_names_no_training_cases_of_a_control(project):
    line = next(line for line in shown(OUT, 200).splitlines() if "(control)" in line)
    assert line.split()[-6:-4] == ["–", "–"], line


def test_show_says_where_the_other_forms_lie(project):
    assert "page: results/toy.html\nsound convention: results/toy.sound.csv\n" in shown(OUT, 200)
    assert "page: results/toy.html\npublished convention: results/toy.csv\n" in shown(
        OUT.with_suffix(".sound.csv"), 200
    )


def test_show_ends_with_three_commands_about_the_best_row_that_is_no_control(project, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert shown(OUT, 40).partition("try next:\n")[2].splitlines() == [
        "  semiseg lineage results/toy.csv --row mt --column Rod",
        "  semiseg audit results/toy.csv",
        "  semiseg describe toy",
    ]


def shown(path: Path, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    show(path, console)
    return console.file.getvalue()


def test_show_names_the_command_that_builds_a_missing_table(project):
    with pytest.raises(UserError, match=r"`snakemake results/none\.csv`"):
        show(Path("results/none.csv"))
    with pytest.raises(UserError, match=r"`snakemake results/none\.csv`"):
        show(Path("results/none.sound.csv"))
    with pytest.raises(UserError, match="is not a table"):
        show(Path("results/runs/mt/seed7/cases.csv"))
    with pytest.raises(UserError, match="is not a table"):
        show(Path("results/toy.html"))
