"""Research objects: written ones pass the public validator, tell nothing of this machine, and audit elsewhere."""

import io
import json
import re
import shutil
import socket
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from requests_cache import CachedSession
from support import ROOT, shared_project
from support.shared_project import HOME, HOST, PASSWORD, RUN, TABLE, semiseg

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256
from semiseg.data.arrival.archives import members
from semiseg.jobs.scrub import shareable_yaml
from semiseg.proof.crate.export import export
from semiseg.proof.crate.unpack import unpack
from semiseg.proof.provenance import recorded_chain

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
PROFILE = "provenance-run-crate-0.5"
WEIGHTS = f"{RUN}/weights.safetensors"
# What the profiles recommend and this project does not have: an address of its own for the software, a publisher.
NOT_HAD = {
    "process-run-crate-0.5_3.2": "The Application SHOULD have a url",
    "process-run-crate-0.5_5.1": "The SoftwareApplication id SHOULD be an absolute URI",
    "ro-crate-1.1_22.3": "The `publisher` property of a `Root Data Entity` SHOULD be an `Organization`",
    "ro-crate-1.1_30.2": "The author SHOULD have an organizational affiliation.",
    "ro-crate-1.1_30.3": "The author SHOULD have a Contextual Entity which specifies the organizational `affiliation`.",
}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_project.built(tmp_path_factory.getbasetemp() / "shared")


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.fixture(scope="session")
def crate(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder, by a call as a user makes it."""
    out = tmp_path_factory.mktemp("crates") / "crate"
    done = semiseg(
        project, "export", TABLE, str(out), "--author", "A. Author", "--licence", "https://spdx.org/licenses/MIT"
    )
    assert done.returncode == 0, done.stderr
    return out


class Served(BaseAdapter):
    """Answers every request with the same bytes, as the server of the context would."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def send(self, request: requests.PreparedRequest, **options: object) -> requests.Response:
        body = urllib3.HTTPResponse(
            io.BytesIO(self.content), {"Content-Type": "application/ld+json"}, 200, preload_content=False
        )
        return HTTPAdapter().build_response(request, body)

    def close(self) -> None:
        pass


def context_of_1_1() -> bytes:
    """The context of RO-Crate 1.1, from that of 1.3 which the rocrate package carries.

    Of the terms that both know, only those of Bioschemas differ; those that came later and that we use are taken out.
    """
    content = json.loads(files("rocrate").joinpath("data/ro-crate.jsonld").read_text(encoding="utf-8"))
    old = {
        "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
        "FormalParameter": "https://bioschemas.org/FormalParameter",
        "input": "https://bioschemas.org/ComputationalWorkflow#input",
        "output": "https://bioschemas.org/ComputationalWorkflow#output",
    }
    terms = {**content["@context"], **old}
    del terms["sha256"]
    return json.dumps({"@context": terms}).encode()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validator's memory of what it fetches, filled without a network."""
    path = tmp_path_factory.mktemp("validator") / "cache"
    with CachedSession(cache_name=str(path), backend="sqlite", expire_after=-1) as session:
        session.mount("https://w3id.org/", Served(context_of_1_1()))
        session.get(CONTEXT, headers={"Accept": "application/ld+json, application/json, */*;q=0.1"})
    return path


def validator(crate: Path, cache: Path, severity: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A call of the public validator, offline."""
    command = [str(Path(sys.executable).with_name("rocrate-validator")), "-y", "validate", "--offline"]
    command += ["--cache-path", str(cache), "-p", PROFILE, "-l", severity, "--no-paging", *options, str(crate)]
    return subprocess.run(command, capture_output=True, encoding="utf-8")


def validate(crate: Path, cache: Path, severity: str, report: Path) -> dict:
    """The validator's report on a folder."""
    done = validator(crate, cache, severity, "-f", "json", "-o", str(report))
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text(encoding="utf-8"))


def graph(crate: Path) -> dict[str, dict]:
    return {entity["@id"]: entity for entity in read_json(crate / "ro-crate-metadata.json")["@graph"]}


# --- written ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recommended(crate: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The validator's report on what is required and on what is recommended."""
    return validate(crate, cache, "recommended", tmp_path_factory.mktemp("validation") / "report.json")


def test_the_public_validator_accepts_a_folder(recommended: dict) -> None:
    statistics = recommended["statistics"]
    assert [issue for issue in recommended["issues"] if issue["severity"] == "REQUIRED"] == []
    assert statistics["total_passed_checks"] >= 80
    assert statistics["total_skipped_checks"] == 0


def test_the_public_validator_accepts_a_zip_without_licence_and_author(
    inside: Path, cache: Path, tmp_path: Path
) -> None:
    export(TABLE, tmp_path / "crate.zip")
    done = validator(tmp_path / "crate.zip", cache, "required")  # version 0.13 cannot write its report on a zip
    assert done.returncode == 0 and f"RO-Crate is a valid {PROFILE}" in done.stdout, done.stdout


def test_what_the_validator_recommends_is_there_but_for_addresses(recommended: dict) -> None:
    assert {issue["check"]["identifier"]: issue["message"] for issue in recommended["issues"]} == NOT_HAD


def test_a_crate_that_lost_a_file_of_the_workflow_is_not_accepted(crate: Path, cache: Path, tmp_path: Path) -> None:
    description = read_json(crate / "ro-crate-metadata.json")
    description["@graph"] = [entity for entity in description["@graph"] if entity["@id"] != "#organize"]
    (tmp_path / "poor").mkdir()
    for entity in description["@graph"]:
        if entity["@id"] == "./":
            del entity["mainEntity"]
    (tmp_path / "poor" / "ro-crate-metadata.json").write_text(json.dumps(description), encoding="utf-8")
    assert not validate(tmp_path / "poor", cache, "required", tmp_path / "report.json")["passed"]


def test_every_file_has_its_hash_and_size(crate: Path) -> None:
    entities = graph(crate)
    paths = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    listed = {name for name, entity in entities.items() if "File" in entity["@type"]}
    assert listed == paths - {"ro-crate-metadata.json"}
    for name in listed:
        assert entities[name]["sha256"] == sha256(crate / name)
        assert entities[name]["contentSize"] == str((crate / name).stat().st_size)


def test_the_crate_holds_what_stands_behind_the_table(inside: Path, crate: Path) -> None:
    paths = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    chain = recorded_chain(TABLE)
    expected = {entry.path for link in chain for entry in link.outputs} | {str(link.path) for link in chain}
    assert expected - paths == {WEIGHTS}
    assert {"params.yaml", "constraints.txt", "Snakefile", "workflow/rules/run.smk", "absent.json"} < paths
    absent = read_json(crate / "absent.json")
    assert absent[WEIGHTS] == sha256(inside / WEIGHTS)
    volumes = [path for path in absent if path != WEIGHTS]
    assert len(volumes) == 5 + 5 + 2 and all(sha256(inside / path) == absent[path] for path in volumes)


def test_every_job_is_an_action_with_its_record(inside: Path, crate: Path) -> None:
    entities = graph(crate)
    for link in recorded_chain(TABLE):
        assert link.record is not None
        action = entities[f"#job/{link.record['id']}"]
        tool = entities[action["instrument"]["@id"]]
        assert tool["name"] == f"semiseg {link.record['rule']}" and tool["identifier"] == link.record["code"]["hash"]
        assert action["subjectOf"] == {"@id": str(link.path)}
        assert action["startTime"] <= action["endTime"] and action["endTime"].endswith("+00:00")
        read = action["object"] if isinstance(action["object"], list) else [action["object"]]
        named = {entities[entry["@id"]]["name"] for entry in read}
        assert {entry.path for entry in link.inputs} <= named
        (spec,) = [entities[entry["@id"]] for entry in read if entry["@id"].startswith("#params/")]
        assert json.loads(spec["value"]) == link.record["params"]
    organised = entities["#organize"]
    assert len(organised["object"]) == 8 and organised["result"] == {"@id": "#run"}
    steps = {entities[step["@id"]]["name"] for step in entities["Snakefile"]["step"]}
    rules = ("raw", "split", "prepare", "train", "predict", "evaluate", "row", "table")
    assert steps == {f"rule {rule}" for rule in rules}


def test_equal_tables_give_equal_crates(inside: Path, tmp_path: Path) -> None:
    export(TABLE, tmp_path / "one.zip")
    export(TABLE, tmp_path / "other", zipped=True)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_nothing_of_this_machine_is_told(project: Path, crate: Path) -> None:
    words = [HOME, HOST, PASSWORD, str(project.parent), socket.gethostname()]
    told = [
        (path.name, word)
        for path in crate.rglob("*")
        if path.is_file()
        for word in words
        if word.encode() in path.read_bytes()
    ]
    assert told == []


def test_a_file_that_names_a_folder_of_this_machine_is_not_exported(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    rules = inside / "workflow/rules/mine.smk"
    rules.write_text("# see /home/somebody/notes\n")
    try:
        with pytest.raises(UserError, match=r"workflow/rules/mine\.smk names /home/somebody, a folder of this machine"):
            export(TABLE, tmp_path / "crate")
        export(TABLE, tmp_path / "asked", keep_paths=True)
    finally:
        rules.unlink()
    assert not (tmp_path / "crate").exists()
    assert PASSWORD in (tmp_path / "asked" / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("a: /data/me/x  # mine\n", 'a: "(outside the project)"  # mine\n'),
        ("a: [~/x, in/side, ../up]\n", 'a: ["(outside the project)", in/side, "(outside the project)"]\n'),
        ("a: [file:///home/me, ~, ~10 %, ~me]\n", 'a: ["(outside the project)", ~, ~10 %, "(outside the project)"]\n'),
        ("a: &mine /data/x\nb: *mine\n", 'a: &mine "(outside the project)"\nb: *mine\n'),
        ("a: 'https://u:p@host/x?key=1'\n", 'a: "https://host/x"\n'),
        ("# was /data/me, C:\\me and https://u:p@host/x\na: 1\n", None),
        ("a: |\n  text # no comment /x\nb: 'a # /x'\n", "a: |\n  text # no comment /x\nb: 'a # /x'\n"),
        ("a: 1 # (x - low) / (high), 1/2 and/or\n", "a: 1 # (x - low) / (high), 1/2 and/or\n"),
        ("", ""),
    ],
)
def test_parameters_are_shared_without_paths_and_passwords(text: str, shared: str | None) -> None:
    out = "(outside the project)"
    expected = f"# was {out}, {out} and https://host/x\na: 1\n" if shared is None else shared
    assert shareable_yaml(text) == expected
    assert shareable_yaml(expected) == expected


def test_the_projects_own_parameters_are_shared_as_they_are() -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert shareable_yaml(text) == text


@pytest.mark.parametrize(
    ("name", "spoil", "sentence"),
    [
        (f"{RUN}/cases.csv", lambda path: path.write_text("Dice\n"), "is not the file that its record names (expected"),
        (f"{RUN}/cases.csv", lambda path: path.unlink(), "cases.csv is missing, but a record names it: restore it"),
        ("params.yaml", lambda path: path.write_text("a: [1\n"), "params.yaml is not valid YAML: while parsing"),
        ("params.yaml", lambda path: path.unlink(), "params.yaml is missing: run from the project's folder"),
    ],
)
def test_what_does_not_hold_is_not_exported(inside: Path, tmp_path: Path, name: str, spoil, sentence: str) -> None:
    path = inside / name
    kept = path.read_bytes()
    spoil(path)
    try:
        with pytest.raises(UserError) as told:
            export(TABLE, tmp_path / "crate")
    finally:
        path.write_bytes(kept)
    assert sentence in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_record_is_told(inside: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"results/other\.csv cannot be exported: results/other\.csv is not here, nor is its record"
    ):
        export("results/other.csv", tmp_path / "crate")


def test_what_is_there_is_not_written_over(inside: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already: give a new name"):
        export(TABLE, tmp_path)


# --- read ------------------------------------------------------------------------------------------------------------


def test_an_unpacked_crate_audits_as_proven(crate: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    done = semiseg(tmp_path, "unpack", str(crate), str(folder))
    assert done.returncode == 0, done.stderr
    assert f"next: cd {folder} && semiseg audit {TABLE}" in done.stderr
    assert not (folder / "Snakefile").exists() and not (folder / "workflow").exists()
    audit = semiseg(folder, "audit", TABLE)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert f"{TABLE}: proven" in audit.stdout
    for away in (WEIGHTS, "data/raw/la/manifest.json", "data/prepared/la/la_half/index.json"):
        assert f"not here, known by hash: {away}" in audit.stdout


def test_a_crate_is_unpacked_after_an_audit_in_it_without_the_cache(crate: Path, tmp_path: Path) -> None:
    audited = Path(shutil.copytree(crate, tmp_path / "audited"))
    assert semiseg(audited, "audit", TABLE).returncode == 0
    assert (audited / "results/.audit/hashes.json").exists()
    shutil.make_archive(str(audited), "zip", audited)
    for form in (audited, tmp_path / "audited.zip"):
        unpack(form, tmp_path / f"from {form.name}")
        assert not (tmp_path / f"from {form.name}" / "results/.audit").exists()
        assert sha256(tmp_path / f"from {form.name}" / TABLE) == sha256(crate / TABLE)


@pytest.mark.parametrize("name", [".audit/hashes.json", "results/.audit", "results/.audits/x.json", "results/x.json"])
def test_no_other_file_than_the_cache_of_audits_may_be_unlisted(crate: Path, tmp_path: Path, name: str) -> None:
    more = Path(shutil.copytree(crate, tmp_path / "more"))
    (more / name).parent.mkdir(exist_ok=True)
    (more / name).write_text("{}")
    with pytest.raises(UserError, match=re.escape(f"holds '{name}', which its description does not list")):
        unpack(more, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_in_the_place_of_the_cache_is_refused(crate: Path, tmp_path: Path) -> None:
    more = Path(shutil.copytree(crate, tmp_path / "more"))
    (more / "results/.audit").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"results/\.audit is a link, device or pipe: it is not unpacked"):
        unpack(more, tmp_path / "elsewhere")


def test_a_zip_with_weights_audits_with_them(inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(TABLE, tmp_path / "crate.zip", with_weights=True)
    with (tmp_path / "crate.zip").open("rb") as file:
        assert WEIGHTS in {member.name.as_posix() for member in members(file, "crate.zip")}
    unpack(tmp_path / "crate.zip", tmp_path / "elsewhere")
    assert sha256(tmp_path / "elsewhere" / WEIGHTS) == sha256(inside / WEIGHTS)
    audit = semiseg(tmp_path / "elsewhere", "audit", TABLE)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert f"known by hash: {WEIGHTS}" not in audit.stdout


def test_a_changed_score_in_an_unpacked_project_is_found(crate: Path, tmp_path: Path) -> None:
    unpack(crate, tmp_path / "elsewhere")
    path = tmp_path / "elsewhere" / RUN / "cases.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("1", "2", 1), encoding="utf-8")
    audit = semiseg(tmp_path / "elsewhere", "audit", TABLE)
    assert audit.returncode == 1 and "cases.csv is not what was made" in audit.stdout


def test_an_unpacked_project_holds_no_workflow_to_export(
    crate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(crate, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="Snakefile is missing: run from the project's folder"):
        export(TABLE, tmp_path / "again")


def test_a_shared_copy_of_the_parameters_is_no_difference(crate: Path, tmp_path: Path) -> None:
    unpack(crate, tmp_path / "elsewhere")
    audit = semiseg(tmp_path / "elsewhere", "audit", TABLE)
    assert audit.returncode == 0 and "params.yaml differs" not in audit.stdout, audit.stdout
