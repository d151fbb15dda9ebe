"""What an audit says of a table, cell by cell, and of what was done to the files behind it."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import finished_project
from support.records import resealed

import semiseg
from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256, write_json
from semiseg.cli.main import main
from semiseg.jobs.checkout import package_hash
from semiseg.jobs.record import OUTSIDE, read_record
from semiseg.paths import record_path
from semiseg.proof.audit import hashing
from semiseg.proof.audit.check_bits import redo
from semiseg.proof.audit.command import Options, audit
from semiseg.proof.provenance import recorded_chain

RUN = f"{finished_project.RUN}/cps/seed1"
WEIGHTS = f"{RUN}/weights.safetensors"
TABLE = finished_project.TABLE


def report(*targets, **options):
    return audit(finished_project.graph(), [Path(target) for target in targets or [TABLE]], Options(**options))


def told(*targets, **options):
    return "\n".join(report(*targets, **options).lines())


def rows(found):
    """Verdict of every row: the worst of its cells."""
    verdicts = {}
    for cell, verdict in found.tables[0].cells.items():
        verdicts[cell.row] = max(verdict, verdicts.get(cell.row, verdict))
    return {row: str(verdict) for row, verdict in verdicts.items()}


def with_params(**changes):
    params = finished_project.params()
    params.update(changes)
    finished_project.write_params(Path(), params)


def edit(path, old, new):
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")


def as_it_is(entry):
    """An entry of a record with the content that its file has now."""
    return {**entry, "sha256": sha256(entry["path"]), "bytes": Path(entry["path"]).stat().st_size}


# --- proven ---


def test_a_finished_table_is_proven_cell_by_cell(project, capsys):
    assert main(["audit", TABLE]) == 0
    text = capsys.readouterr().out
    assert f"{TABLE}: proven\n  proven: cps, control_perfect (80 cells)\n" in text
    assert "checked: 18 records, 69 files by sha256" in text
    assert f"record of {TABLE}: {read_record(record_path(TABLE))['id']}" in text


def test_the_report_as_json_names_every_cell(project, capsys):
    assert main(["audit", TABLE, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["proven"] and data["targets"] == {TABLE: "proven"} and data["findings"] == []
    cell = next(cell for cell in data["cells"] if (cell["row"], cell["column"]) == ("control_perfect", "Dice"))
    assert cell == {
        "table": TABLE,
        "row": "control_perfect",
        "convention": "published",
        "column": "Dice",
        "value": "100.00",
        "verdict": "proven",
    }


def test_torch_is_not_loaded_to_audit(project):
    audit = f"from semiseg.cli.main import main; main(['audit', '{TABLE}'])"
    code = f"import sys; {audit}; sys.exit('torch' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_a_target_may_be_absolute_and_lie_behind_links(project):
    (project.parent / "link").symlink_to(project)
    kept = Path("results/kept.csv").absolute()
    Path(TABLE).rename(kept)
    Path(TABLE).symlink_to(kept)
    assert list(report(project / TABLE).targets) == list(report(project.parent / "link" / TABLE).targets) == [TABLE]
    assert report(project.parent / "link" / TABLE).proven


def test_several_targets_are_audited_at_once(project):
    Path(f"{finished_project.RUN}/control_perfect/seed1/cost.json").unlink()
    found = report(WEIGHTS, f"{finished_project.RUN}/control_perfect/seed1/weights.safetensors")
    lost = f"{finished_project.RUN}/control_perfect/seed1"
    assert {path: str(verdict) for path, verdict in found.targets.items()} == {
        WEIGHTS: "proven",
        f"{lost}/weights.safetensors": "proven",
        f"{lost}/cost.json": "missing",
    }
    assert not found.proven


# --- stale ---


def test_other_parameters_make_those_rows_stale_that_they_are_for(project, capsys):
    with_params(methods={"cps": {"weight": 0.3}})
    found = report()
    assert rows(found) == {"cps": "stale", "control_perfect": "proven"}
    text = "\n".join(found.lines())
    assert "  stale: cps (40 cells)" in text and "  proven: control_perfect (40 cells)" in text
    assert "was made with other parameters: hyper.weight was 0.2, is 0.3" in text
    assert main(["audit", TABLE]) == 1


def test_a_title_makes_the_page_stale_and_no_number(project):
    params = finished_project.params()
    params["tables"]["tiny"]["title"] = "Huge"
    with_params(**params)
    found = report()
    assert set(rows(found).values()) == {"proven"} and not found.proven
    assert f'stale: {TABLE} was made with other parameters: title was "Tiny", is "Huge"' in "\n".join(found.lines())


def test_a_new_seed_makes_a_row_stale(project):
    params = finished_project.params()
    params["tables"]["tiny"]["seeds"] = [1, 2, 3]
    with_params(**params)
    assert f"has other inputs: {finished_project.RUN}/cps/seed3/cases.csv (now wanted)" in told()
    params["tables"]["tiny"]["seeds"] = [1]
    with_params(**params)
    assert f"has other inputs: {finished_project.RUN}/cps/seed2/cases.csv (not wanted any more)" in told()


def test_a_table_that_params_no_longer_has_is_stale(project):
    params = finished_project.params()
    params["tables"]["other"] = params["tables"].pop("tiny")
    with_params(**params)
    assert "params.yaml does not ask for it any more: unknown table 'tiny'; known: other" in told()


def test_a_folder_made_by_other_code_is_stale_and_the_modules_are_named(project, tmp_path):
    source = finished_project.copy_of_source(tmp_path)
    edit(source / "semiseg/scoring/measurements.py", "import numpy as np\n", "import numpy as np\n\nEXTRA = 1\n")
    result = finished_project.command("audit", TABLE, source=source)
    assert result.returncode == 1
    assert f"  stale: {', '.join(finished_project.ROWS)} (80 cells)" in result.stdout
    assert (
        f"stale, 4 times: was made by other code: semiseg.scoring.measurements\n    {RUN}/cases.csv\n" in result.stdout
    )
    stale = result.stdout.partition("checked: ")[0]
    assert f"{RUN}/cases.csv" in stale and "weights.safetensors" not in stale, "training does not use the metrics"


def test_a_template_that_cannot_be_read_is_other_code(project, tmp_path):
    source = finished_project.copy_of_source(tmp_path)
    with (source / "semiseg/report/page.html.j2").open("ab") as file:
        file.write(b"\xff")
    result = finished_project.command("audit", TABLE, source=source)
    assert f"stale: {TABLE} was made by other code: semiseg.report.page cannot be read as code" in result.stdout


def test_source_that_is_not_python_any_more_is_told_in_a_sentence(project, tmp_path):
    source = finished_project.copy_of_source(tmp_path)
    edit(source / "semiseg/datasets/phantom_mri.py", "import", ")import")
    result = finished_project.command("audit", TABLE, source=source)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: ") and "Traceback" not in result.stderr
    assert "semiseg/datasets/phantom_mri.py, line " in result.stderr
    assert "is not valid Python (" in result.stderr


def test_a_run_made_anew_makes_what_was_made_from_it_stale(project):
    params = finished_project.params()
    params["protocols"]["la_small"]["training"]["optimiser"]["lr"] = 0.2
    with_params(**params)
    job = finished_project.graph().maker(WEIGHTS)
    assert main(finished_project.arguments(job)) == 0
    found = report()
    assert rows(found) == {"cps": "stale", "control_perfect": "stale"}
    assert f"stale: {RUN}/predictions.json was made from another {WEIGHTS}: sha256 " in "\n".join(found.lines())
    assert report(WEIGHTS).proven


def test_a_partial_table_is_no_tables_own_file(project):
    for suffix in (".csv", ".csv.lineage.json"):
        shutil.copy(f"results/tiny{suffix}", f"results/tiny.partial{suffix}")
    content = read_json("results/tiny.partial.csv.lineage.json")
    entry = {**content["outputs"][0], "path": "results/tiny.partial.csv"}
    resealed("results/tiny.partial.csv.lineage.json", outputs=[entry])
    assert "stale: results/tiny.partial.csv no rule makes it as the recorded table did" in told(
        "results/tiny.partial.csv"
    )


def test_a_code_hash_that_its_modules_do_not_give_is_told(project):
    path = record_path(WEIGHTS)
    resealed(path, code={**read_json(path)["code"], "hash": "0" * 64})
    assert "was made by other code: its code hash does not fit its modules" in told()


# --- changed ---


def test_a_changed_number_is_told_with_the_one_that_the_scores_give(project):
    edit(TABLE, "cps,cps,published,la,2,2,", "cps,cps,published,la,2,2,9")
    found = report()
    cells = {cell for cell, verdict in found.tables[0].cells.items() if str(verdict) == "changed"}
    assert {(cell.row, cell.convention, cell.column) for cell in cells} == {("cps", "published", "LA")}
    text = "\n".join(found.lines())
    assert "  changed: cps, LA (published)" in text and "  proven: cps, control_perfect (79 cells)" in text
    assert f"changed: {TABLE}, cps, LA the scores give " in text
    assert f"changed: {TABLE} is not what was made: expected sha256 " in text


def test_a_changed_number_is_found_though_its_record_was_made_to_fit(project):
    edit(
        "results/tiny.sound.csv",
        "control_perfect,control_perfect,sound,sound,2,2,",
        "control_perfect,control_perfect,sound,sound,2,2,1",
    )
    path = record_path(TABLE)
    resealed(path, outputs=[as_it_is(entry) for entry in read_json(path)["outputs"]])
    found = report()
    assert rows(found) == {"cps": "proven", "control_perfect": "changed"}
    assert "results/tiny.sound.csv, control_perfect, LA the scores give " in "\n".join(found.lines())


@pytest.mark.parametrize("quick", [False, True])
def test_a_changed_value_per_case_is_found_though_its_record_was_made_to_fit(project, quick):
    assert report().proven
    edit(
        "results/tiny.cases.csv",
        "control_perfect,1,published,phantom_mri_0005,LA,100.",
        "control_perfect,1,published,phantom_mri_0005,LA,99.",
    )
    path = record_path(TABLE)
    resealed(path, outputs=[as_it_is(entry) for entry in read_json(path)["outputs"]])
    found = report(quick=quick)
    assert not found.proven and set(rows(found).values()) == {"proven"}
    text = "\n".join(found.lines())
    assert (
        "results/tiny.cases.csv is not what the scores give: 1 line is other, first 'control_perfect,1,published"
        in text
    )


def test_values_per_case_are_not_judged_by_scores_that_are_not_here(project):
    Path(RUN, "cases.csv").unlink()
    assert "tiny.cases.csv" not in told()


def test_a_changed_row_is_found_though_its_record_was_made_to_fit(project):
    path = "results/tiny/cps.csv"
    edit(path, "cps,cps,published,la,2,2,", "cps,cps,published,la,2,2,9")
    record = record_path(path)
    resealed(record, outputs=[as_it_is(read_json(record)["outputs"][0])])
    text = told(path)
    assert f"changed: {path} is not what its scores give: LA (published) is 9" in text


def test_a_table_whose_bytes_changed_and_no_field_is_changed_in_all_cells(project):
    edit(TABLE, "\n", "\r\n")
    assert set(rows(report()).values()) == {"changed"}


def test_a_row_that_was_taken_out_is_told(project):
    lines = Path(TABLE).read_text().splitlines(keepends=True)
    Path(TABLE).write_text("".join(lines[:-1]))
    assert about_the_table(report()) == ["lacks the rows control_perfect"]


@pytest.mark.parametrize("form", [".md", ".tex", ".html", ".views.csv", ".cases.csv", ".cost.csv", ".metrics.json"])
def test_an_altered_form_of_the_table_is_named_first_and_changes_no_number(project, form):
    with Path(f"results/tiny{form}").open("a") as file:
        file.write("\n")
    found = report()
    assert set(rows(found).values()) == {"proven"} and not found.proven
    assert list(found.lines())[:2] == [f"{TABLE}: proven", f"results/tiny{form}: changed"]
    assert [str(verdict) for verdict in report(f"results/tiny{form}").targets.values()] == ["changed"]


def about_the_table(found):
    """What the findings say of the table's own CSV files, but for their bytes, and that there are no other findings."""
    texts = [finding.text for finding in found.findings]
    assert all(finding.at == TABLE for finding in found.findings)
    return [text for text in texts if not text.startswith("is not what was made: ")]


def columns_edited(change):
    """Change the fields of every line of the table with ``change``, the header's too."""
    lines = [line.split(",") for line in Path(TABLE).read_text().splitlines()]
    Path(TABLE).write_text("".join(",".join(change(line, number)) + "\n" for number, line in enumerate(lines)))


def row_added():
    line = Path(TABLE).read_text().splitlines()[1]
    with Path(TABLE).open("a") as file:
        file.write(f"mt{line.removeprefix('cps')}\n")


def row_repeated():
    with Path(TABLE).open("a") as file:
        file.write(f"{Path(TABLE).read_text().splitlines()[1]}\n")


@pytest.mark.parametrize(
    ("change", "sentence", "changed"),
    [
        (row_added, "has rows that are not in the table's parameters: mt", {"mt": 20}),
        (row_repeated, "has more than one row for cps", {"cps": 20}),
        (
            lambda: edit(TABLE, ",LA,", ",LB,"),
            "has other columns than its rows (too many: LB; missing: LA)",
            {"cps": 1, "control_perfect": 1},
        ),
        (
            lambda: edit(TABLE, "method,", "methods,"),
            "has other columns than its rows (too many: methods; missing: method)",
            {"": 32},
        ),
        (
            lambda: columns_edited(lambda line, number: [*line, "8" if number else "x"]),
            "has other columns than its rows (too many: x)",
            {"cps": 1, "control_perfect": 1},
        ),
        (
            lambda: columns_edited(lambda line, number: line[:-1]),
            "has other columns than its rows (missing: false_positive)",
            {},
        ),
        (
            lambda: edit(TABLE, "LA,Dice,", "Dice,LA,"),
            "has its columns in another order than its rows: Dice, LA",
            {},
        ),
        (
            lambda: edit(TABLE, "Dice,Dice SD,Jaccard,", "Jaccard,Dice,Dice SD,"),
            "has its columns in another order than its rows: Jaccard, Dice, Dice SD",
            {"cps": 3, "control_perfect": 2},
        ),
    ],
)
def test_a_row_or_column_too_many_or_too_few_is_one_sentence(project, change, sentence, changed):
    change()
    found = report()
    assert about_the_table(found) == [sentence]
    wrong = [cell.row for cell, verdict in found.tables[0].cells.items() if str(verdict) == "changed"]
    assert {row: wrong.count(row) for row in wrong} == changed


def test_many_changed_numbers_are_counted(project):
    columns_edited(lambda line, number: [f"{field}1" if field.count(".") and number else field for field in line])
    text = told()
    assert text.count(f"{TABLE}, cps, ") + text.count(f"{TABLE}, control_perfect, ") == 5
    assert f"changed: {TABLE}, 13 more cells with another number than the scores give" in text


def test_scores_that_changed_are_told_with_what_they_would_give(project):
    cases = Path(f"{RUN}/cases.csv")
    head, first, *rest = cases.read_text().splitlines()
    fields = first.split(",")
    fields[4] = str(int(fields[4]) + 1000)
    cases.write_text("\n".join([head, ",".join(fields), *rest]) + "\n")
    found = report()
    assert rows(found) == {"cps": "changed", "control_perfect": "proven"}
    assert f"changed: {cases} is not what was made: expected sha256 " in "\n".join(found.lines())


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda text: text[: len(text) // 2], "is not valid JSON"),
        (lambda text: text + " ", "is not as it was written"),
        (lambda text: text.replace('"seed": 1', '"seed": 2'), "was changed: its content does not fit its seal"),
        (lambda text: "[]", "is not as it was written"),
        (lambda text: text.replace("\n", "\r\n"), "is not as it was written"),
        (lambda text: "[" * 100_000, "cannot be read (maximum recursion depth"),
        (lambda text: "1" * 5000, "cannot be read (Exceeds the limit"),
    ],
)
def test_a_damaged_record_is_told(project, damage, sentence):
    path = Path(record_path(WEIGHTS))
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8", newline="")
    found = report()
    assert rows(found) == {"cps": "changed", "control_perfect": "proven"}
    assert f"changed: {path} {sentence}" in "\n".join(found.lines())


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize(
    "place",
    ["data/raw/phantom_mri/manifest.json", f"{RUN}/cases.csv", record_path(WEIGHTS), TABLE, "results/tiny/cps.csv"],
)
def test_what_is_no_file_is_named_and_not_waited_for(project, place, put):
    path = Path(place)
    path.unlink()
    put(path)
    kind = "a folder" if path.is_dir() else "a pipe or device"
    assert f"changed: {path} is {kind}, not a file: " in told()


def test_pipes_in_the_place_of_all_volumes_are_no_cache_that_is_away(project):
    for path in Path("data/prepared/phantom_mri/la_half").glob("*.h5"):
        path.unlink()
        os.mkfifo(path)
    text = told()
    assert f"{TABLE}: changed" in text
    assert "not here, known by hash" not in text


def test_a_size_that_its_file_does_not_have_is_told(project):
    path = record_path(f"{RUN}/cases.csv")
    entry = read_json(path)["outputs"][0]
    resealed(path, outputs=[{**entry, "bytes": 7}])
    assert f"changed: {path} tells 7 bytes of {RUN}/cases.csv, which has {entry['bytes']}" in told(f"{RUN}/cases.csv")


def test_the_record_of_another_file_is_told(project):
    path = record_path(f"{RUN}/cases.csv")
    shutil.copy(record_path(f"{finished_project.RUN}/cps/seed2/cases.csv"), path)
    assert f"changed: {path} is the record of another file" in told()


def test_a_manifest_that_cannot_be_a_list_is_told(project):
    path = Path("data/raw/phantom_mri/manifest.json")
    content = read_json(path)
    content["files"]["../x"] = {"sha256": "0" * 64, "bytes": 1}
    write_json(path, content)
    resealed(record_path(path), outputs=[as_it_is(read_json(record_path(path))["outputs"][0])])
    assert "names a file outside its folder ('../x')" in told(path)


# --- missing, unproven ---


def test_a_half_copied_run_is_missing_what_it_lacks(project):
    lost = [WEIGHTS, record_path(WEIGHTS), f"{RUN}/cases.csv", record_path(f"{RUN}/cases.csv")]
    for path in lost:
        Path(path).unlink()
    found = report()
    assert rows(found) == {"cps": "missing", "control_perfect": "proven"}
    missing = {finding.path for finding in found.findings if str(finding.verdict) == "missing"}
    assert missing == {WEIGHTS, f"{RUN}/cases.csv"}


@pytest.mark.parametrize(
    ("dvc", "sentence"),
    [
        (True, f"what is missing: `dvc pull` fetches it if it was pushed, `snakemake {TABLE}` builds it"),
        (False, f"what is missing: `snakemake {TABLE}` builds it"),
    ],
)
def test_a_clone_without_its_runs_has_one_line_on_them_and_one_on_what_to_do(project, dvc, sentence):
    for path in ("results/tiny", "results/runs", "data"):
        shutil.rmtree(path)
    if dvc:
        Path("dvc.lock").write_text("{}")
    lines = list(report().lines())
    assert lines[:3] == [
        f"{TABLE}: missing",
        "  missing: cps, control_perfect (80 cells)",
        "missing: 25 files",
    ]
    assert sentence in lines and len(lines) == 12
    Path(TABLE).write_text("")
    text = told()
    assert f"changed: {TABLE} is not what was made" in text and f"{sentence}\n" in text


def test_nothing_is_advised_where_nothing_is_missing(project):
    Path(f"{RUN}/cost.json").write_text("{}")
    assert "what is missing" not in told()


def test_one_volume_of_a_cache_is_missed_all_of_them_are_not(project):
    volumes = sorted(Path(f"{RUN}/predictions").glob("*.nii.gz"))
    volumes[0].unlink()
    text = told()
    assert f"missing: {volumes[0]} is missing, though others that {RUN}/predictions.json lists are here" in text
    for path in volumes[1:]:
        path.unlink()
    text = told()
    assert f"{TABLE}: proven" in text
    assert f"not here, known by hash: {RUN}/predictions.json (the 4 files that are listed there)" in text


def test_weights_left_out_on_purpose_are_known_by_hash(project):
    write_json("absent.json", {WEIGHTS: sha256(WEIGHTS)})
    Path(WEIGHTS).unlink()
    assert f"not here, known by hash: {WEIGHTS}" in told()
    write_json("absent.json", {WEIGHTS: "0" * 64})
    assert f"missing: {WEIGHTS} is missing\n" in told()


def test_nothing_but_weights_and_volumes_can_be_left_out_on_purpose(project):
    write_json("absent.json", {TABLE: sha256(TABLE)})
    Path(TABLE).unlink()
    assert f"missing: {TABLE} is missing\n" in told()


def test_a_file_without_a_record_is_unproven(project):
    Path(record_path(f"{RUN}/predictions.json")).unlink()
    found = report()
    assert rows(found) == {"cps": "unproven", "control_perfect": "proven"}
    sentence = f"unproven: {RUN}/predictions.json has no lineage record ({RUN}/predictions.json.lineage.json)"
    assert sentence in "\n".join(found.lines())


def test_a_table_without_a_record_is_unproven_and_its_chain_is_still_checked(project):
    Path(record_path(TABLE)).unlink()
    Path(f"{RUN}/cost.json").write_text("{}")
    found = report()
    assert rows(found) == {"cps": "changed", "control_perfect": "unproven"}


def test_an_input_from_outside_the_project_is_unproven(project):
    path = record_path("data/raw/phantom_mri/manifest.json")
    resealed(path, inputs=[{"path": OUTSIDE, "sha256": "0" * 64, "bytes": 1, "record": None}])
    assert "was made from a file outside the project, which no record tells about" in told()


# --- notes ---


def test_a_comment_in_params_is_a_note_that_a_strict_audit_counts(project, capsys):
    with Path("params.yaml").open("a") as file:
        file.write("# a comment\n")
    assert main(["audit", TABLE]) == 0
    sentence = "note: params.yaml differs from that of 18 recorded jobs in nothing that they depend on (comments, other"
    assert sentence in capsys.readouterr().out
    assert main(["audit", TABLE, "--strict"]) == 1
    head = f"{TABLE}: proven\nnot proven under --strict, because of 1 note below: exit status 1\n"
    assert capsys.readouterr().out.startswith(head)
    Path(f"{RUN}/cost.json").unlink()
    assert "--strict" not in told(strict=True), "it is not what makes the status 1"


def test_a_comment_in_source_is_a_note_that_a_strict_audit_counts(project, tmp_path):
    source = finished_project.copy_of_source(tmp_path)
    recorded_from(source, None)
    edit(source / "semiseg/scoring/measurements.py", "import numpy as np\n", "import numpy as np  # numbers\n")
    result = finished_project.command("audit", TABLE, "--strict", source=source)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{TABLE}: proven\nnot proven under --strict, because of 1 note below: ")
    assert (
        "note: source differs from that of 18 recorded jobs in nothing that they ran (comments, texts, other modules);"
        " which files were edited is not known, because their records name no commit\n" in result.stdout
    )


def git(folder, *arguments):
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.strip()


def recorded_from(source, commit, dirty=False):
    """As if this source had made the project, at this commit."""
    state = {"commit": commit, "dirty": dirty, "package": package_hash(source / "semiseg")}
    for path in Path().rglob("*.lineage.json"):
        resealed(path, source={**read_json(path)["source"], **state})


@pytest.fixture
def checkout(project, tmp_path):
    """A copy of the source with one commit, which has made the project."""
    source = finished_project.copy_of_source(tmp_path / "checkout")
    (source / ".gitignore").write_text("__pycache__\n")
    git(source, "init", "--quiet")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "--message", "first")
    recorded_from(source, git(source, "rev-parse", "HEAD"))
    return source


def test_edited_source_files_are_named_where_git_has_the_recorded_commit(checkout):
    edit(checkout / "semiseg/scoring/measurements.py", "import numpy as np\n", "import numpy as np  # numbers\n")
    git(checkout, "commit", "--quiet", "--all", "--message", "second")
    (checkout / "semiseg/methods/mine.py").write_text("EXTRA = 1\n")
    result = finished_project.command("audit", TABLE, source=checkout)
    assert result.returncode == 0, result.stdout + result.stderr
    (note,) = [line for line in result.stdout.splitlines() if line.startswith("note: ")]
    assert note.endswith("modules); edited since: semiseg/methods/mine.py, semiseg/scoring/measurements.py")


@pytest.mark.parametrize(
    ("commit", "dirty", "reason"),
    [
        ("0" * 40, False, "git does not show their commit 0000000 here"),
        ("--output=x", False, "git does not show their commit --outpu here"),
        ("1234567" * 5, True, "they ran with edits of commit 1234567 that were not committed"),
    ],
)
def test_it_is_told_why_edited_source_files_are_not_known(project, monkeypatch, commit, dirty, reason):
    recorded_from(Path(semiseg.__file__).parent.parent, commit, dirty)
    monkeypatch.setattr("semiseg.proof.audit.notes.package_hash", lambda: "another")
    (note,) = report().notes
    assert note.text.endswith(f"; which files were edited is not known, because {reason}") and note.paths == ()
    assert not Path("x").exists()


def test_equal_files_of_another_record_are_a_note(project):
    path = record_path(f"{RUN}/cases.csv")
    inputs = [{**entry, "record": "0" * 64} for entry in read_json(path)["inputs"]]
    resealed(path, inputs=inputs)
    found = report(f"{RUN}/cases.csv")
    assert found.proven
    assert f"note: made from an equal {RUN}/predictions.json of another record: {RUN}/cases.csv" in found.lines()


# --- doing jobs again ---


def test_scores_made_up_with_all_that_follows_are_found_by_measuring_again(project):
    """No hash can tell: whoever changes everything consistently is met by doing it again, or by the published id."""
    first = read_record(record_path(TABLE))["id"]
    cases = Path(f"{RUN}/cases.csv")
    lines = [line.split(",") for line in cases.read_text().splitlines()]
    overlap = lines[0].index("overlap_voxels")
    lines[-1][overlap] = str(int(lines[-1][overlap]) + 99)
    cases.write_text("\n".join(map(",".join, lines)) + "\n")
    record = record_path(cases)
    resealed(record, outputs=[as_it_is(read_json(record)["outputs"][0])])
    for path in ("results/tiny/cps.csv", TABLE):
        assert main(finished_project.arguments(finished_project.graph().maker(path))) == 0
    assert report().proven
    assert read_record(record_path(TABLE))["id"] != first
    found = report(redo="score", sample=4, workers=1)
    assert rows(found) == {"cps": "changed", "control_perfect": "proven"}
    assert f"changed: {cases} came out otherwise when it was made again: sha256 " in "\n".join(found.lines())


@pytest.mark.parametrize(("what", "target"), [("predict", f"{RUN}/predictions.json"), ("train", WEIGHTS)])
def test_predicting_and_training_again_gives_the_same_bits(project, capsys, what, target):
    assert main(["audit", target, "--recompute", what]) == 0
    assert f"audit: {target} came out the same, bit for bit" in capsys.readouterr().err


def test_what_is_not_here_cannot_be_done_again(project):
    for path in Path("data/prepared/phantom_mri/la_half").glob("*.h5"):
        path.unlink()
    assert report(WEIGHTS).proven
    found = report(WEIGHTS, redo="train")
    assert not found.proven
    assert "cannot be made again here: the files of data/prepared/phantom_mri/la_half/index.json are not here" in (
        "\n".join(found.lines())
    )


@pytest.mark.parametrize(("processor", "verdict"), [(None, "changed"), ("Another", "unproven")])
def test_other_bits_on_another_machine_prove_nothing(project, processor, verdict):
    path = record_path(f"{RUN}/predictions.json")
    content = read_json(path)
    environment = {**content["environment"], **({"processor": processor} if processor else {})}
    outputs = [{**content["outputs"][0], "sha256": "0" * 64}]
    resealed(path, environment=environment, outputs=outputs)
    link = recorded_chain(f"{RUN}/predictions.json")[-1]
    (finding,) = redo([link], [], "predict", 1, 1)
    assert str(finding.verdict) == verdict
    assert ("the machine differs: processor was Another, is " in finding.text) == (verdict == "unproven")


# --- quick ---


@pytest.fixture
def settled(monkeypatch):
    """As if every file had been written long ago."""
    monkeypatch.setattr(hashing, "SETTLED_NS", 0)


def test_a_quick_audit_reads_no_file_twice(project, settled, monkeypatch):
    assert report().proven
    monkeypatch.setattr(hashing, "_sha256", pytest.fail)
    monkeypatch.setattr("semiseg.proof.audit.check_cells._scored", pytest.fail)
    monkeypatch.setattr("semiseg.jobs.record.seal", pytest.fail)
    assert report(quick=True).proven


def test_a_quick_audit_sees_a_change_that_hides_its_time(project, settled):
    assert report().proven
    path = Path(WEIGHTS)
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert f"changed: {WEIGHTS} is not what was made" in told(quick=True)


def test_a_quick_audit_checks_a_record_that_has_changed(project, settled):
    assert report().proven
    path = Path(record_path(WEIGHTS))
    before, text = path.stat(), path.read_text(encoding="utf-8")
    path.write_text(text.replace('"seed": 1', '"seed": 2', 1), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert f"changed: {path} was changed: its content does not fit its seal" in told(quick=True)


def test_files_written_just_now_are_not_remembered(project):
    Path(WEIGHTS).write_bytes(Path(WEIGHTS).read_bytes())
    assert report().proven
    assert WEIGHTS not in read_json("results/.audit/hashes.json")


@pytest.mark.parametrize("content", ["", "[]", '{"params.yaml": 1, "results/tiny.csv": {"mark": 3}}'])
def test_a_damaged_memory_is_none(project, content):
    for name in ("hashes", "records", "rows"):
        path = Path(f"results/.audit/{name}.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert report(quick=True).proven


# --- bad input ---


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("results/tinny.csv", "unknown table 'tinny'; known: tiny"),
        (".", ". is a folder: name a file, such as results/demo.csv"),
        ("results", "results is a folder: name a file, such as results/demo.csv"),
        ("params.yaml", "params.yaml is no file that a rule makes: name a table such as results/demo.csv"),
        ("../elsewhere/results/tiny.csv", "lies outside this folder: run from the folder of the project"),
        ("/elsewhere/results/tiny.csv", "lies outside this folder: run from the folder of the project"),
    ],
)
def test_a_target_that_cannot_be_is_told_in_a_sentence(project, capsys, target, sentence):
    assert main(["audit", target]) == 2
    assert sentence in capsys.readouterr().err


def test_a_table_that_was_never_built_is_missing(project, capsys):
    for path in Path("results").glob("tiny.*"):
        path.unlink()
    assert main(["audit", TABLE]) == 1
    assert f"{TABLE}: missing" in capsys.readouterr().out


def test_a_folder_without_parameters_is_told(project, capsys):
    Path("params.yaml").unlink()
    assert main(["audit", TABLE]) == 2
    assert "params.yaml is missing: run from the project's folder" in capsys.readouterr().err


def test_parameters_that_are_no_text_are_told(project, capsys):
    Path("params.yaml").write_bytes(b"\xff")
    assert main(["audit", TABLE]) == 2
    assert "params.yaml is not valid YAML" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_told(project, monkeypatch):
    def broken_disk(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(hashing, "sha256", broken_disk)
    with pytest.raises(UserError, match=r" cannot be read \(Input/output error\): make it readable"):
        report()


@pytest.mark.parametrize("option", ["--sample", "--workers"])
def test_counts_below_one_are_refused(project, option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["audit", TABLE, option, "0"])
    assert stopped.value.code == 2
    assert "expected a whole number of at least 1" in capsys.readouterr().err


# --- lineage ---


def lineage(capsys, *arguments):
    assert main(["lineage", TABLE, *arguments]) == 0
    return capsys.readouterr().out


def test_the_tree_of_a_cell_leads_from_its_number_to_the_raw_files(project, capsys):
    text = lineage(capsys, "--row", "cps", "--column", "LA")
    steps = [
        "cps, LA: ",
        "row cps, rules la and sound",
        "scores of 2 cases",
        "phantom_mri_0001: ",
        "predictions of 2 cases",
        "weights after 2 steps, seed 1, those of step ",
        "split: 2 labelled, 2 unlabelled, 1 val, 2 test (drawn with seed 1)",
        "12 raw files, drawn: labelled=5 seed=3 size=40 unlabelled=2",
        "imagesTr/phantom_mri_0001_0000.nii.gz  sha256 ",
        "7 prepared cases: zscore, crop_label, resample",
        "code and parameters",
        "train: code ",
    ]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)
    assert "seed 2, those of step" in text and "control_perfect" not in text
    assert "validation Dice 0." in text


def test_the_same_as_json_holds_every_hash(project, capsys):
    data = json.loads(lineage(capsys, "--row", "control_perfect", "--column", "Dice", "--json"))
    assert data["values"] == {"published": "100.00", "sound": data["values"]["sound"]}
    (row,) = data["made_from"]
    scores = row["made_from"][0]
    assert [case["published"] for case in scores["per_case"]] == [100.0, 100.0]
    weights = scores["made_from"][0]["made_from"][0]
    assert (
        weights["path"] == f"{finished_project.RUN}/control_perfect/seed1/weights.safetensors" and weights["steps"] == 0
    )
    raw = next(node for node in weights["made_from"] if node["rule"] == "split")["made_from"][0]
    assert len(raw["files"]) == 12 and all(len(file["sha256"]) == 64 for file in raw["files"])
    (circumstances,) = data["code_and_parameters"]
    train = next(rule for rule in circumstances["rules"] if rule["rule"] == "train")
    assert train["jobs"][0]["params"]["method"] == "control_perfect"


def test_a_table_as_a_whole_is_told_by_rule(project, capsys):
    text = lineage(capsys)
    for line in ("row: 2", "evaluate: 4", "predict: 4", "train: 4", "prepare: 1", "raw: 1"):
        assert f"── {line}\n" in text
    data = json.loads(lineage(capsys, "--json"))
    assert [group["rule"] for group in data["groups"]][:2] == ["row", "evaluate"]
    assert len(data["groups"][1]["jobs"]) == 4


def test_any_file_has_a_tree(project, capsys):
    assert main(["lineage", f"{RUN}/history.csv"]) == 0
    assert capsys.readouterr().out.startswith("weights after 2 steps, seed 1")


def test_a_tree_needs_neither_volumes_nor_weights(project, capsys):
    Path(WEIGHTS).unlink()
    shutil.rmtree(f"{RUN}/predictions")
    assert "weights after 2 steps, seed 1\n" in lineage(capsys, "--row", "cps", "--column", "95HD")


CELL = ("--row", "cps", "--column", "LA")


@pytest.mark.parametrize(
    ("target", "arguments", "path"),
    [
        (TABLE, CELL, TABLE),
        (TABLE, CELL, "results/tiny.sound.csv"),
        (TABLE, CELL, "results/tiny/cps.csv"),
        (TABLE, CELL, f"{RUN}/cases.csv"),
        (TABLE, CELL, f"{RUN}/predictions.json"),
        (TABLE, CELL, WEIGHTS),
        (TABLE, CELL, "data/splits/phantom_mri/tiny.json"),
        (TABLE, (), "results/tiny.md"),
        (TABLE, (), f"{RUN}/cases.csv"),
        ("results/tiny.md", (), "results/tiny.md"),
        (f"{RUN}/history.csv", (), f"{RUN}/history.csv"),
        ("results/tiny/cps.csv", (), "results/tiny/cps.csv"),
        (WEIGHTS, (), "data/raw/phantom_mri/manifest.json"),
    ],
)
def test_a_tree_begins_with_each_file_that_is_not_the_recorded_one(project, capsys, target, arguments, path):
    content = bytearray(Path(path).read_bytes())
    content[-2] ^= 1  # the size stays the same
    Path(path).write_bytes(content)
    assert main(["lineage", target, *arguments]) == 1
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith(f"{path} is not the file that its record names: expected sha256 ")
    assert second == f"`semiseg audit {target}` finds what differs"
    assert main(["lineage", target, *arguments, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["other_files"] == [first]


def test_a_tree_names_no_file_behind_another_cell_and_reads_no_volume(project, capsys, monkeypatch):
    for path in (f"{finished_project.RUN}/control_perfect/seed1/cases.csv", "results/tiny/control_perfect.csv"):
        Path(path).write_text("")
    for path in [*Path("data").rglob("*.h5"), *Path().rglob("*.nii.gz")]:
        path.unlink()
        os.mkfifo(path)  # reading it would never end
    assert lineage(capsys, *CELL).startswith("cps, LA: ")


def test_weights_made_anew_are_not_those_that_the_predictions_were_made_from(project, capsys):
    for name in ("weights.safetensors", "history.csv", "cost.json", "weights.safetensors.lineage.json"):
        shutil.copy(f"{finished_project.RUN}/cps/seed2/{name}", f"{RUN}/{name}")
    content = read_json(record_path(WEIGHTS))
    outputs = [{**entry, "path": entry["path"].replace("seed2", "seed1")} for entry in content["outputs"]]
    resealed(record_path(WEIGHTS), outputs=outputs)
    assert main(["lineage", TABLE, *CELL]) == 1
    sentence = f"{WEIGHTS} is not the file that the record of {RUN}/predictions.json names: expected "
    assert capsys.readouterr().out.startswith(sentence)


def test_a_tree_begins_with_a_record_that_was_changed(project, capsys):
    edit(record_path(WEIGHTS), '"seed": 1', '"seed": 2')
    assert main(["lineage", TABLE, *CELL]) == 1
    assert capsys.readouterr().out.startswith(f"{record_path(WEIGHTS)} was changed: its content does not fit its seal")


def test_a_tree_gives_no_number_of_a_file_that_is_not_here(project, capsys):
    Path("results/tiny.sound.csv").unlink()
    text = lineage(capsys, *CELL)
    assert "sound not known (results/tiny.sound.csv is not here)" in text and "undefined" not in text


def test_a_tree_tells_where_a_record_or_a_file_cannot_be_read(project, capsys):
    Path(record_path(WEIGHTS)).unlink()
    Path(f"{RUN}/predictions.json").write_text("{")
    assert main(["lineage", TABLE, "--row", "cps", "--column", "LA"]) == 1
    text = capsys.readouterr().out
    assert f"no usable record: {WEIGHTS} has no lineage record" in text
    assert f"predict: cannot be read, `semiseg audit {RUN}/predictions.json` tells why" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((TABLE, "--row", "mt", "--column", "LA"), "table tiny has no row 'mt'; it has: cps, control_perfect"),
        ((TABLE, "--row", "Cpss", "--column", "LA"), "'Cpss'; it has: cps, control_perfect; did you mean cps?"),
        (
            (TABLE, "--row", "cps", "--column", "dice"),
            "'dice'; it has: LA, Dice, Jaccard, ASD, 95HD; did you mean Dice?",
        ),
        ((TABLE, "--row", "cps", "--column", "Pan"), "has no column 'Pan'; it has: LA, Dice, Jaccard, ASD, 95HD"),
        ((TABLE, "--row", "cps"), "--row is given without --column: a cell needs both"),
        ((TABLE, "--column", "LA"), "--column is given without --row: a cell needs both"),
        ((WEIGHTS, "--row", "cps", "--column", "LA"), "is no table: name one such as results/demo.csv"),
        (("results/none.csv",), "unknown table 'none'; known: tiny"),
        (("params.yaml",), "params.yaml has no lineage record, so nothing tells what it was made from"),
    ],
)
def test_a_question_that_cannot_be_answered_is_told_in_a_sentence(project, capsys, arguments, sentence):
    assert main(["lineage", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("params", "inputs", "words"),
    [
        ({"source": OUTSIDE}, [], "brought by the user from a folder or archive of theirs; published: "),
        ({}, ["data/archives/phantom_mri/archives.json"], "downloaded from "),
        ({"standin": True}, ["data/standins/phantom_mri/standin.json"], "drawn as a stand-in"),
        ({}, [], "brought by the user with `semiseg import`; published: "),
    ],
)
def test_the_tree_tells_where_raw_files_came_from(project, capsys, params, inputs, words):
    path = "data/raw/phantom_mri/manifest.json"
    content = read_json(record_path(path))
    options = {"generate": None, "source": params.get("source")}
    changed = {**content["params"], "options": options, "standin": params.get("standin", False)}
    entries = [{"path": name, "sha256": "0" * 64, "bytes": 1, "record": None} for name in inputs]
    resealed(record_path(path), params=changed, inputs=entries)
    assert main(["lineage", path]) == 0
    assert words in capsys.readouterr().out


def test_show_names_a_file_of_the_table_that_is_not_the_recorded_one_after_the_table(project, capsys):
    for path in (TABLE, "results/tiny/cps.csv", "results/tiny.sound.csv"):
        kept = Path(path).read_bytes()
        assert main(["show", TABLE]) == 0
        assert "`semiseg audit" not in capsys.readouterr().out.splitlines()[-1]
        Path(path).write_bytes(kept.replace(b".", b"1.", 1))
        assert main(["show", TABLE]) == 1
        shown = capsys.readouterr().out.splitlines()[-2:]
        assert main(["lineage", TABLE]) == 1
        told = capsys.readouterr().out.splitlines()[:2]
        told[0] = told[0].replace("its record", f"the record of {TABLE}" if path.endswith("cps.csv") else "its record")
        assert shown == told and shown[0].startswith(f"{path} is not the file that ")
        Path(path).write_bytes(kept)


def test_show_compares_a_table_of_another_folder_with_its_record_there(project, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["show", str(project / TABLE)]) == 0
    (project / "results/tiny.md").write_text("better\n")
    assert main(["show", str(project / TABLE)]) == 1
    assert "results/tiny.md is not the file that its record names: expected " in capsys.readouterr().out


def test_show_says_where_nothing_tells_what_a_table_was_made_from(project, capsys):
    Path(record_path(TABLE)).unlink()
    assert main(["show", TABLE]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{TABLE} has no lineage record, so nothing tells what it was made from"


def test_a_tree_tells_a_file_that_is_not_here_from_one_without_a_record(project, capsys):
    Path("results/tiny/cps.csv").unlink()
    Path(record_path("results/tiny/cps.csv")).unlink()
    assert main(["lineage", TABLE]) == 0
    text = capsys.readouterr().out
    assert "results/tiny/cps.csv is not here, nor is its record: build it with `snakemake results/tiny/cps.csv`" in text
    assert "has no lineage record" not in text
