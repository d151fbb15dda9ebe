"""What the site shows of tables, cases, scans and texts, and what it refuses."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import Markup
from support import ROOT, finished_project
from support.project_folder import write_params

from semiseg.base.errors import UserError
from semiseg.cli.main import main
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.jobs.record import read_record
from semiseg.params.reading import read
from semiseg.params.table import Printed
from semiseg.params.table_spec import ShownCheckpoint, TableSpec, read_spec
from semiseg.paths import SITE, SITE_FILES, record_path
from semiseg.report.groups import PLACES
from semiseg.report.site import documents
from semiseg.report.site.data import Built, Definition, read_built
from semiseg.report.site.documents import Document
from semiseg.report.site.pages import Pages
from semiseg.report.site.tables import all_rows, all_tables, checkpoint_of, score_table, summary
from semiseg.stages.site import define, write_site

PACKAGE = ROOT / "src/semiseg/report/site"
DEFINITION = Definition("tiny", "Tiny", None, "phantom_mri", "la_small", "la", (), {"cps": "cps"})


def build() -> None:
    assert main(finished_project.arguments(finished_project.graph().maker(SITE))) == 0


def built(audit: object = None) -> Built:
    table = read_built(DEFINITION, read_record(record_path(finished_project.TABLE))["id"], audit)
    assert isinstance(table, Built)
    return table


def page(name: str) -> str:
    return Path("results/site", name).read_text(encoding="utf-8")


def test_every_file_of_the_site_is_listed_and_those_of_an_earlier_one_are_removed(project):
    params = finished_project.params()
    params["tables"]["later"] = {**params["tables"]["tiny"], "seeds": [5]}
    write_params(project, params)
    build()
    Path("results/site/own notes.txt").write_text("mine", encoding="utf-8")
    assert Path("results/site/tables/later.html").exists()
    write_params(project, finished_project.params())
    build()
    listed = dict(line.split("  ")[::-1] for line in Path(SITE_FILES).read_text(encoding="utf-8").splitlines())
    files = {path.relative_to("results/site").as_posix() for path in Path("results/site").rglob("*") if path.is_file()}
    assert files - set(listed) == {"files.sha256", "index.html.lineage.json", "own notes.txt"}
    for name, content in listed.items():
        assert hashlib.sha256(Path("results/site", name).read_bytes()).hexdigest() == content, name
    assert main(["audit", SITE]) == 0


def test_planning_asks_for_no_table_and_notices_when_one_is_built(project):
    job = finished_project.graph().maker(SITE)
    assert job.spec["tables"]["tiny"]["record"] == read_record(record_path(finished_project.TABLE))["id"]
    Path(record_path(finished_project.TABLE)).unlink()
    later = finished_project.graph().maker(SITE)
    assert "record" not in later.spec["tables"]["tiny"] and later.inputs["tables"] == ()
    build()
    assert "not built yet" in page("index.html") and "snakemake --cores all results/tiny.csv" in page(
        "tables/tiny.html"
    )


def test_a_table_whose_list_cannot_be_formed_says_so_and_names_one_that_can(project):
    plan = Plan(read(ROOT / "params.yaml"))
    lacking, whole = (define(plan, name) for name in ("flare22_10pct", "flare22_10pct_open"))
    assert not whole.unformed and lacking.instead == "flare22_10pct_open"
    pages = Pages(Path("results/site"), [Document("published-numbers", "Published numbers", "numbers.html", Markup())])
    pages.planned(lacking)
    pages.planned(whole)
    pages.index([lacking, whole])
    text = page("tables/flare22_10pct.html")
    assert "cannot be formed from the official files" in text and 'href="flare22_10pct_open.html"' in text
    assert "the list cannot be formed from the official archives" in text and "This builds it" not in text
    assert '<a href="../numbers.html">Published numbers</a>' in text
    assert "cannot be formed" not in page("tables/flare22_10pct_open.html").partition("<h2>")[0]
    assert "2 more tables are defined, 1 of them over lists of cases that cannot be formed" in page("index.html")


def test_only_an_audit_of_this_record_makes_a_row_proven(project):
    assert set(built().verdicts.values()) == {"not audited"}
    assert main(["audit", finished_project.TABLE]) == 0
    state = finished_project.graph().maker(SITE).spec["tables"]["tiny"]
    assert state["audit"] == "proven" and summary(built(state["audit"])) == "proven"
    build()
    for name in ("tables/tiny.html", "rows/tiny/cps.html"):
        assert "found every number proven" in page(name)
        assert f"(last audit: {state['audited']})" in page(name) and re.fullmatch(r"\d{4}-\d\d-\d\d", state["audited"])
    verdicts = Path("results/.audit/verdicts.json")
    known = json.loads(verdicts.read_text(encoding="utf-8"))
    known["results/tiny.csv"]["rows"]["cps"] = "stale"
    verdicts.write_text(json.dumps(known), encoding="utf-8")
    state = finished_project.graph().maker(SITE).spec["tables"]["tiny"]
    assert built(state["audit"]).verdicts == {"cps": "stale", "control_perfect": "proven"}
    for words in ({"cps": "excellent", "control_perfect": ["proven"]}, {"cps": "proven", "control_perfect": ["x"]}):
        known["results/tiny.csv"]["rows"] = words
        verdicts.write_text(json.dumps(known), encoding="utf-8")
        state = finished_project.graph().maker(SITE).spec["tables"]["tiny"]
        first = "proven" if words["cps"] == "proven" else "not audited"
        assert built(state["audit"]).verdicts == {"cps": first, "control_perfect": "not audited"}
    known["results/tiny.csv"]["record"] = "another"
    verdicts.write_text(json.dumps(known), encoding="utf-8")
    assert "audit" not in finished_project.graph().maker(SITE).spec["tables"]["tiny"]


def test_a_forged_number_is_shown_with_its_verdict(project):
    assert main(["audit", finished_project.TABLE]) == 0
    path = Path("results/tiny.csv")
    path.write_text(path.read_text(encoding="utf-8").replace("100.00", "99.00"), encoding="utf-8")
    build()
    shown = page("tables/tiny.html")
    assert "results/tiny.csv is not what its record says" in shown
    assert '<td class="words">proven</td>' not in shown and '<td class="words">changed</td>' in shown


def test_a_table_that_cannot_be_read_is_named_and_the_others_are_shown(project):
    record = Path(record_path(finished_project.TABLE))
    record.write_text(record.read_text(encoding="utf-8").replace("tiny", "tidy", 1), encoding="utf-8")
    build()
    assert "cannot be read" in page("index.html")
    assert "This table is here and cannot be shown" in page("tables/tiny.html")


def test_a_table_of_an_earlier_version_is_shown_without_groups(project):
    views = pd.read_csv("results/tiny.views.csv", keep_default_na=False, dtype=str)
    views.drop(columns=list(PLACES)).to_csv("results/tiny.views.csv", index=False)
    Path("results/tiny.cases.csv").unlink()
    build()
    assert "An earlier version of semiseg built this table" in page("tables/tiny.html")
    assert "No row is called the best" not in page("tables/tiny.html")


@pytest.mark.parametrize("what", ["params", "table"])
def test_a_site_that_was_planned_for_something_else_is_refused(project, what):
    spec = finished_project.graph().maker(SITE).spec
    if what == "params":
        params = finished_project.params()
        params["tables"]["tiny"]["title"] = "Another"
        write_params(project, params)
        sentence = "table tiny in params.yaml has changed since the site was planned: call snakemake again"
    else:
        spec["tables"]["tiny"]["record"] = "0" * 64
        sentence = r"results/tiny\.csv was built again since this site was planned: call snakemake again"
    with pytest.raises(UserError, match=sentence):
        write_site(spec, Path(SITE), Path(SITE_FILES), 1)
    assert not Path(SITE).exists()


def test_the_list_of_rows_names_the_metric_where_it_is_not_dice(project):
    table = built()
    assert "Dice, sound rule (%)" in [column.label for column in all_rows([table]).columns]
    other = replace(table, spec=table.spec.model_copy(update={"metrics": ("asd",)}))
    shown = all_rows([table, other])
    labels = [column.label for column in shown.columns]
    assert "Sound rule" in labels and not [label for label in labels if "Dice" in label]
    metrics = [row[labels.index("Metric")].text for row in shown.rows]
    assert set(metrics[:2]) == {"Dice (%)"} and set(metrics[2:]) == {"ASD (published voxel, sound mm)"}


def test_a_project_without_tables_has_a_list_without_lines():
    assert all_tables([]).rows == () and all_rows([]).rows == ()


def test_rows_that_cannot_be_told_apart_are_marked_for_eyes_and_ears(project):
    table = built("proven")
    before = table.views.assign(published_group="", sound_group="")
    table = replace(table, views=before)
    assert "Group" not in [column.label for column in score_table(table, "sound").columns]
    groups = {"cps": "tied", "control_perfect": ""}
    views = before.assign(sound_group=before["method"].map(groups))
    table = replace(table, views=views)
    shown = score_table(table, "sound")
    place = [column.key for column in shown.columns].index("group")
    assert [row[place].text for row in shown.rows] == ["tied", "–"]
    assert [column.key for column in shown.columns][place - 1 : place + 2] == ["95HD", "group", "proof"]
    dice = shown.rows[0][3]
    assert dice.kind == "tied" and "cannot be told from the best" in dice.more
    assert [row[-1].text for row in all_rows([table]).rows] == ["tied", "–"]
    for listed in (all_rows([table]), all_tables([table])):
        assert listed.columns[1].key == "proof" and listed.rows[0][1].text == "proven"


def test_a_distance_that_counts_missed_cases_as_zero_has_a_sign(project):
    table = built()
    table = replace(table, spec=table.spec.model_copy(update={"published": "la"}), views=table.views.assign(missed=3.0))
    table.views["published_group"] = "tied"  # as an earlier version had it
    keys = [column.key for column in score_table(table, "published").columns]
    found = {name: score_table(table, name).rows[0] for name in ("published", "sound")}
    assert [cells[keys.index("95HD")].beside[:1] == "†" for cells in found.values()] == [True, False]
    assert not found["published"][keys.index("Dice")].beside.startswith("†")
    assert [found["published"][keys.index(name)].kind for name in ("Dice", "95HD")] == ["tied", ""]


def test_controls_have_no_training_cases(project):
    table = built()
    for shown in (score_table(table, "sound"), all_rows([table])):
        places = [at for at, column in enumerate(shown.columns) if column.key in ("lab", "unlab")]
        trained, control = ([row[at].text for at in places] for row in shown.rows)
        assert "–" not in trained and control == ["–", "–"]


def test_p_and_effect_stand_beside_the_sound_numbers_where_there_are_tests(project):
    table = built()
    assert "Effect" not in [column.label for column in score_table(table, "sound").columns]
    tested = replace(table, views=table.views.assign(p_holm=0.5, effect=-1.0))
    shown = score_table(tested, "sound")
    place = [column.label for column in shown.columns].index("p (Holm)")
    assert [cell.text for cell in shown.rows[-1][place : place + 2]] == ["0.500", "−1.00"]
    assert "Effect" not in [column.label for column in score_table(tested, "published").columns]


def test_the_cases_lie_beside_the_page_of_their_table(project):
    build()
    assert Path("results/site/tables/tiny.cases.csv").read_bytes() == Path("results/tiny.cases.csv").read_bytes()
    assert 'href="tiny.cases.csv"' in page("tables/tiny.html")


def test_the_command_for_missing_scores_says_what_it_needs(project):
    Path("results/tiny.cases.csv").unlink()
    for path in Path("results/runs").rglob("cases.csv"):
        path.unlink()
    build()
    assert "which needs the data, and trains each run whose weights are not there." in page("rows/tiny/cps.html")


def test_printed_numbers_stand_as_printed():
    block = replace(DEFINITION, printed=(Printed(paper="crln", table="1", labelled=8, unlabelled=72),)).numbers[0]
    assert block["title"] == "crln, table 1" and block["counts"] == "8 labelled, 72 unlabelled"
    assert block["columns"] == ["Dice", "Jaccard", "ASD", "95HD"]
    assert ("LG-ER", ["85.24 ± 1.23", "74.69 ± 1.75", "3.77 ± 0.78", "14.99 ± 2.93"]) in block["rows"]


def test_the_checkpoint_of_a_row_is_named():
    graph = Graph(Plan(read(ROOT / "params.yaml")))
    spec = graph.specs.table("la_8")
    assert (checkpoint_of(spec, "crln"), checkpoint_of(spec, "crln_best")) == ("last", "best on the test list")
    tiny = graph.specs.table("demo")
    assert checkpoint_of(tiny, "cps") == "best on validation" and checkpoint_of(tiny, "control_empty") == "control"
    other = tiny.model_copy(update={"checkpoints": {"cps": ShownCheckpoint(rule="last", selection=None, last=None)}})
    assert checkpoint_of(other, "cps") == "last"


def test_texts_are_pages_whose_links_stay_in_the_site(project):
    Path("docs").mkdir()
    text = "# Numbers\n\nSee [words](glossary.md#x), [code](../src/a.py), ![p](p.png) <b>&\n"
    text += "\n| a | |\n| - | - |\n| 1 | 2 |\n"
    Path("docs/evidence.md").write_text(text, encoding="utf-8")
    Path("docs/glossary.md").write_text("# Words\n", encoding="utf-8")
    evidence, glossary = documents.read_documents()
    assert 'See <a href="glossary.html#x">words</a>, code,  &lt;b&gt;&amp;' in evidence.content
    assert "<td></td>" in evidence.content and 'aria-label="table 1"' in evidence.content
    assert (evidence.file, glossary.title) == ("evidence.html", "Glossary")
    build()
    assert '<a href="../evidence.html">Evidence</a>' in page("tables/tiny.html")


def test_headings_have_the_places_that_links_lead_to(project, monkeypatch):
    Path("docs").mkdir()
    text = "# Ranks, and `groups`: why?\n\n## A *b*\n\n## A b\n\n## snake_case – dash\n"
    Path("docs/evidence.md").write_text(text, encoding="utf-8")
    (evidence,) = documents.read_documents()
    places = re.findall(r'<h\d id="([^"]*)">', evidence.content)
    assert places == ["ranks-and-groups-why", "a-b", "a-b-1", "snake_case--dash"]
    monkeypatch.chdir(ROOT)
    found = {one.file: set(re.findall(r'<h\d id="([^"]*)">', one.content)) for one in documents.read_documents()}
    links = [
        (name or one.file, place)
        for one in documents.read_documents()
        for name, place in re.findall(r'href="([\w-]*(?:\.html)?)#([^"]+)"', one.content)
    ]
    assert links and not [(name, place) for name, place in links if place not in found[name]]


def test_names_cannot_break_a_page(project):
    record = read_record(record_path(finished_project.TABLE))
    spec = record["params"] | {"title": "<script>x</script>"}
    assert isinstance(read_spec(TableSpec, spec, "x"), TableSpec)
    params = finished_project.params()
    params["tables"]["later"] = {**params["tables"]["tiny"], "title": '<script>"x"</script>', "seeds": [5]}
    write_params(project, params)
    build()
    for name in ("index.html", "tables/later.html"):
        assert "<script>&#34;" not in page(name) and "&lt;script&gt;" in page(name)
        assert "<script>" not in page(name)


def test_pages_load_nothing_from_elsewhere(project):
    build()
    for path in Path("results/site").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"([^\"]*)", text)
        assert not [one for one in loaded if ":" in one or one.startswith("/")], path
        for link in re.findall(r"href=\"([^\"#]+)", text):
            assert link.startswith("https://") or (path.parent / link).exists(), (path, link)
    for name in ("pages.site.js", "pages.viewer.js", "pages.site.css"):
        assert not re.search(
            r"https?:|fetch\(|XMLHttpRequest|@import|url\(", (PACKAGE / name).read_text(encoding="utf-8")
        )


def test_the_shipped_viewer_is_the_one_that_its_licence_names():
    content = hashlib.sha256((PACKAGE / "pages.niivue.umd.js").read_bytes()).hexdigest()
    licence = (PACKAGE / "pages.niivue.LICENSE.txt").read_text(encoding="utf-8")
    assert f"sha256 {content}" in licence and "BSD 2-Clause License" in licence
    assert "NiiVue 0.69.0" in licence and "NiiVue 0.69.0" in (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")


def test_the_search_script_stays_small():
    assert len((PACKAGE / "pages.site.js").read_text(encoding="utf-8").splitlines()) <= 200
