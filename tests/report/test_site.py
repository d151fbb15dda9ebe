"""What the site shows of tables, cases, scans and texts, and what it refuses."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
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
from semiseg.report.pictures import Scan
from semiseg.report.site import documents, volumes
from semiseg.report.site.cases import read_case_scores, worst_case
from semiseg.report.site.data import Built, Definition, read_built
from semiseg.report.site.tables import all_rows, checkpoint_of, score_table, summary
from semiseg.scoring.cases import read_cases
from semiseg.stages.site import write_site

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


def test_only_an_audit_of_this_record_makes_a_row_proven(project):
    assert set(built().verdicts.values()) == {"not audited"}
    assert main(["audit", finished_project.TABLE]) == 0
    state = finished_project.graph().maker(SITE).spec["tables"]["tiny"]
    assert state["audit"] == "proven" and summary(built(state["audit"])) == "proven"
    verdicts = Path("results/.audit/verdicts.json")
    known = json.loads(verdicts.read_text(encoding="utf-8"))
    known["results/tiny.csv"]["rows"]["cps"] = "stale"
    verdicts.write_text(json.dumps(known), encoding="utf-8")
    state = finished_project.graph().maker(SITE).spec["tables"]["tiny"]
    assert built(state["audit"]).verdicts == {"cps": "stale", "control_perfect": "proven"}
    known["results/tiny.csv"]["record"] = "another"
    verdicts.write_text(json.dumps(known), encoding="utf-8")
    assert "audit" not in finished_project.graph().maker(SITE).spec["tables"]["tiny"]


def test_a_forged_number_is_shown_with_its_verdict(project):
    assert main(["audit", finished_project.TABLE]) == 0
    path = Path("results/tiny.csv")
    path.write_text(path.read_text(encoding="utf-8").replace("100.00", "99.00"), encoding="utf-8")
    build()
    assert "results/tiny.csv is not what its record says" in page("tables/tiny.html")
    assert "<td>proven</td>" not in page("tables/tiny.html") and "<td>changed</td>" in page("tables/tiny.html")


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
        sentence = "says something else about table tiny than when the site was planned: call snakemake again"
    else:
        spec["tables"]["tiny"]["record"] = "0" * 64
        sentence = r"results/tiny\.csv was built again since this site was planned: call snakemake again"
    with pytest.raises(UserError, match=sentence):
        write_site(spec, Path(SITE), Path(SITE_FILES), 1)
    assert not Path(SITE).exists()


def test_cases_come_worst_first_with_the_numbers_of_their_score_tables(project):
    scores = read_case_scores(built().spec)["cps"]
    runs = [read_cases(Path(f"{finished_project.RUN}/cps/seed{seed}/cases.csv")) for seed in finished_project.SEEDS]
    by_hand = {}
    for run in runs:
        for line in run[run["grid"] == "native"].itertuples():
            both = line.truth_voxels + line.predicted_voxels
            by_hand.setdefault(line.case, []).append(200 * line.overlap_voxels / both)
    expected = {case: np.mean(values) for case, values in by_hand.items()}
    assert list(scores["sound"].values.index) == sorted(expected, key=expected.get)
    assert worst_case(scores) == min(expected, key=expected.get)
    assert scores["sound"].values["Dice"].to_dict() == pytest.approx(expected, abs=1e-4)
    assert (scores["published"].unit, scores["sound"].unit) == ("voxel", "mm")


def test_the_file_of_cases_gives_what_the_runs_give_and_serves_where_these_are_absent(project):
    spec = built().spec
    from_runs = read_case_scores(spec)
    lines = [
        {"method": method, "seed": 1, "convention": convention, "case": case, "organ": "LA", **dict(row)}
        for method, both in from_runs.items()
        for convention, scores in both.items()
        for case, row in scores.values.iterrows()
    ]
    pd.DataFrame(lines).to_csv("results/tiny.cases.csv", index=False)
    for method in spec.runs:
        for convention, scores in read_case_scores(spec)[method].items():
            pd.testing.assert_frame_equal(scores.values, from_runs[method][convention].values, check_names=False)
    Path("results/tiny.cases.csv").unlink()
    Path(f"{finished_project.RUN}/cps/seed2/cases.csv").unlink()
    assert read_case_scores(spec)["cps"] == {}
    build()
    assert "The scores of single cases were not on the machine" in page("rows/tiny/cps.html")


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), np.uint8)


def test_scripts_hold_the_voxels_as_they_are():
    generator = np.random.default_rng(0)
    image, truth, predicted = (
        Scan(array, (1.0, 2.0, 3.0))
        for array in (generator.random((4, 3, 2)), generator.integers(0, 3, (4, 3, 2)), np.ones((4, 3, 2)))
    )
    texts = volumes.scripts("one", image, truth, {"cps": predicted})
    contents = {name: json.loads(re.fullmatch(r"semisegVolume\((.*)\);\n", text)[1]) for name, text in texts.items()}
    assert contents["one"]["size"] == [4, 3, 2] and contents["one"]["spacing"] == [1, 2, 3]
    for name, key, array in (("one", "truth", truth.array), ("one.cps", "labels", predicted.array)):
        voxels = unpacked(contents[name][key])
        np.testing.assert_array_equal(voxels.reshape((4, 3, 2), order="F"), array)
    grey = unpacked(contents["one"]["scan"]).reshape((4, 3, 2), order="F")
    assert grey.min() == 0 and grey.max() == 255
    assert np.unravel_index(grey.argmax(), grey.shape) == np.unravel_index(image.array.argmax(), grey.shape)


def test_a_large_case_is_shown_coarser_and_never_above_the_limit(monkeypatch):
    monkeypatch.setattr(volumes, "MOST_BYTES", 20_000)
    noise = np.random.default_rng(0).random((40, 40, 40))
    scan, labels = Scan(noise, (1.0, 1.0, 2.0)), Scan((noise > 0.5).astype(np.uint8), (1.0, 1.0, 2.0))
    texts = volumes.scripts("one", scan, labels, {"cps": labels})
    assert sum(map(len, texts.values())) <= 20_000
    first = json.loads(texts["one"].removeprefix("semisegVolume(").removesuffix(");\n"))
    assert first["step"] == 2 and first["spacing"] == [2, 2, 4] and first["size"] == [20, 20, 20]


def test_rows_that_cannot_be_told_apart_are_marked_for_eyes_and_ears(project):
    table = built("proven")
    before = table.views.assign(published_group="", sound_group="")
    table = replace(table, views=before)
    assert "Told from the best" not in [column.label for column in score_table(table, "sound").columns]
    groups = {"cps": "tied", "control_perfect": ""}
    views = before.assign(sound_group=before["method"].map(groups))
    table = replace(table, views=views)
    shown = score_table(table, "sound")
    place = [column.key for column in shown.columns].index("apart")
    assert [row[place].text for row in shown.rows] == ["no", "–"]
    dice = shown.rows[0][3]
    assert dice.kind == "tied" and "cannot be told from the best" in dice.more
    assert [row[-2].text for row in all_rows([table]).rows] == ["no", "–"]


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
