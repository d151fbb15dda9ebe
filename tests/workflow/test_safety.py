"""Parameters, lists and crates that mean harm: they run no code and write nothing outside the project."""

import json
import os
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT, shared_project, warm
from support.prepared_cases import raw_spec
from support.shared_project import (
    CASES,
    RUN,
    SHELL,
    TABLE,
    new,
    params,
    semiseg,
    snakemake,
    write_params,
    write_scans,
)

from semiseg.base.errors import UserError
from semiseg.base.files import canonical, read_json, sha256, write_json
from semiseg.cli.main import main
from semiseg.data.split_lists import parse_list
from semiseg.jobs.record import identity, seal
from semiseg.proof.crate.export import export
from semiseg.proof.crate.reading import unpack_crate
from semiseg.stages.evaluate import evaluate_run
from semiseg.stages.prepare import prepare
from semiseg.stages.raw import build_raw
from semiseg.stages.split import split

NAMES = (
    "$(touch run)",
    "`touch run`",
    "x;touch run",
    "../../out",
    "a/b",
    "it's",
    'a"b',
    "a\ntouch run",
    "{x}",
    "-f",
    "",
    ".",
)
CASE_NAMES = ("../../../../../../out", "/tmp/out", "a/b", "a\\b", "a\nb", "..", ".hidden", "")
DESCRIPTION = "ro-crate-metadata.json"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_project.built(tmp_path_factory.getbasetemp() / "shared")


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A finished project that a test may spoil."""
    return Path(shutil.copytree(project, tmp_path / "project", symlinks=True))


def nothing_ran(folder: Path) -> bool:
    """Whether no command of a name or text has run: each would leave a file."""
    return not [path for path in folder.rglob("*") if path.name in ("run", "out", "out.csv", "owned")]


# --- params.yaml: tags and names -------------------------------------------------------------------------------------

TAGS = (
    "!!python/object/apply:os.system ['touch run']",
    "!!python/object/new:subprocess.Popen [['touch', 'run']]",
    "!!python/name:os.system",
    "!!python/module:os",
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing has been made."""
    return new(tmp_path_factory.mktemp("bare") / "project", params(Path("nowhere")))


@pytest.mark.parametrize("tag", TAGS)
def test_tags_of_python_in_parameters_are_refused(
    tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(f"datasets: {tag}\n", encoding="utf-8")
    assert main(["check-params"]) == 2
    assert "params.yaml is not valid YAML: could not determine a constructor for the tag" in capsys.readouterr().err
    assert nothing_ran(tmp_path)


def test_snakemake_refuses_tags_of_python(bare: Path) -> None:
    (bare / "params.yaml").write_text("".join(f"k{i}: {tag}\n" for i, tag in enumerate(TAGS)), encoding="utf-8")
    result = snakemake(bare, "-n", TABLE)
    assert result.returncode == 1 and "params.yaml is not valid YAML" in result.stdout + result.stderr
    assert nothing_ran(bare.parent)


def everywhere(name: str) -> dict[str, Any]:
    """Parameters with this name in each place that takes the name of something."""
    content = params(Path("nowhere"))
    for section in ("datasets", "preparations", "protocols", "tables"):
        content[section][name] = next(iter(content[section].values()))
    content["splits"]["la"][name] = content["splits"]["la"]["tiny"]
    content["splits"][name] = content["splits"]["la"]
    content["methods"] = {name: {"weight": 1}, "cps": {name: 1}}
    content["variants"] = {name: {"method": name, "parameters": {name: 1}}}
    protocol, table = content["protocols"]["la_small"], content["tables"]["tiny"]
    protocol["preparation"] = protocol["network"]["name"] = name
    protocol["methods"] = {name: {name: 1}}
    for key in ("dataset", "protocol", "split", "reference"):
        table[key] = name
    table["rows"] = [name, {"method": "cps", "split": name}]
    table["printed"] = [{"paper": name, "table": name}]
    return json.loads(json.dumps(content))  # no aliases


NO_NAME = "expected a name of letters, digits and _"
PLACES = (
    *(f"{section}.@.[key]" for section in ("datasets", "preparations", "protocols", "tables", "methods", "variants")),
    "splits.@.[key]", "splits.la.@.[key]", "methods.cps.@.[key]", "variants.@.method", "variants.@.parameters.@.[key]",
    "protocols.la_small.preparation", "protocols.la_small.network.name", "protocols.la_small.methods.@.[key]",
    *(f"tables.tiny.{key}" for key in ("dataset", "protocol", "split", "reference")),
    "tables.tiny.rows.0", "tables.tiny.rows.1.split", "tables.tiny.printed.0.paper",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_no_plain_words_are_refused_wherever_they_stand(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, everywhere(name))
    assert main(["check-params"]) == 2
    told = capsys.readouterr().err
    assert [
        place for place in PLACES if f"{place.removesuffix('.[key]').replace('@', name)}: {NO_NAME}" not in told
    ] == []


def test_snakemake_plans_nothing_with_such_names(bare: Path) -> None:
    for name in ("$(touch run)", "../../out"):
        write_params(bare, everywhere(name))
        result = snakemake(bare, f"results/{name}.csv")
        assert result.returncode == 1 and NO_NAME in result.stdout + result.stderr
    assert nothing_ran(bare.parent)


def test_cases_of_a_stand_in_cannot_lead_out_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = params(Path("nowhere"))
    content["datasets"]["la"] = {"standin": {"seed": 1, "cases": list(CASE_NAMES)}}
    write_params(tmp_path, content)
    assert main(["check-params"]) == 2
    told = capsys.readouterr().err
    assert [
        n for n in range(len(CASE_NAMES)) if f"datasets.la.standin.cases.{n}: expected an id of a case" not in told
    ] == []


# --- params.yaml: texts that reach a rule's shell ---------------------------------------------------------------------


def test_texts_and_file_names_reach_the_jobs_and_run_nothing(project: Path) -> None:
    """Title, label, notes and the user's case folders of this table are all commands, and the table came out."""
    assert yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["tables"]["tiny"]["title"] == SHELL
    assert [case["id"] for case in read_json(project / "data/raw/la/manifest.json")["cases"]] == sorted(CASES)
    assert SHELL.split("\n")[0] in (project / "results/tiny.csv").read_text(encoding="utf-8")
    assert nothing_ran(project.parent)


def test_a_figure_and_a_partial_table_run_nothing_either(copy: Path) -> None:
    content = yaml.safe_load((copy / "params.yaml").read_text(encoding="utf-8"))
    content["variants"] = {"wild": {"method": "cps", "parameters": {"weight": 1e38}}}
    content["tables"]["tiny"]["rows"].append({"method": "wild", "label": f"wild {SHELL}"})
    write_params(copy, content)
    result = snakemake(copy, TABLE, "results/tiny/figures/boxes.png")
    assert result.returncode == 1 and "no row wild: train did not finish" in result.stdout + result.stderr
    assert (copy / "results/tiny.partial.csv").exists()
    assert nothing_ran(copy.parent)


@pytest.mark.parametrize(
    "target",
    ["results/tiny/figures/case_$(touch run).png", "results/$(touch run).csv", "data/splits/la/..;touch run.json"],
)
def test_targets_with_commands_have_no_rule(project: Path, target: str) -> None:
    result = snakemake(project, "-n", target)
    assert result.returncode == 1 and "MissingRuleException" in result.stdout + result.stderr
    assert nothing_ran(project.parent)


def test_dvc_runs_nothing_and_removes_nothing_that_a_key_names(tmp_path: Path) -> None:
    """DVC puts keys of params.yaml into its shell and its outputs before semiseg can see them."""
    project = new(tmp_path / "project", params(Path("nowhere")))
    (tmp_path / "out.keep.csv").write_text("precious")
    content = params(Path("nowhere"))
    table = content["tables"]["tiny"]
    for name in ("../../out.keep", "$(touch run)", "x; touch run #", "a`touch run`"):
        content["tables"][name] = json.loads(json.dumps(table))
        content["datasets"][name], content["splits"][name] = {}, {}
    write_params(project, content)
    (project / "data/raw").mkdir(parents=True)
    (project / "src").symlink_to(ROOT / "src")
    for dataset in ("la", "a`touch run`"):
        (project / f"data/raw/{dataset}.sha256").write_text("0")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    assert warm.run(project, ["dvc", "init", "-q"]).returncode == 0
    for target in ("table@$(touch run)", "table@x; touch run #", "table@../../out.keep", "raw@a`touch run`", ""):
        command = ["dvc", "repro", "--single-item", target] if target else ["dvc", "repro", "--keep-going"]
        done = warm.run(project, command)
        assert done.returncode != 0
        assert NO_NAME in done.stdout + done.stderr or ".." in target  # DVC itself stumbles over the dots
    assert (tmp_path / "out.keep.csv").read_text() == "precious"
    assert nothing_ran(tmp_path)


# --- lists and manifests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", TAGS)
def test_tags_of_python_in_a_split_list_are_refused(tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="split list mine is not valid YAML"):
        parse_list("mine", f"source: {tag}\n")
    assert nothing_ran(tmp_path)


@pytest.mark.parametrize("name", CASE_NAMES)
def test_a_raw_manifest_cannot_name_cases_that_lead_elsewhere(project: Path, tmp_path: Path, name: str) -> None:
    manifest = read_json(project / "data/raw/la/manifest.json")
    manifest["cases"][0]["id"] = name
    write_json(tmp_path / "raw/manifest.json", manifest)
    spec = {"dataset": "la", "name": "p", "preparation": {"axes": "xyz", "steps": []}}
    with pytest.raises(UserError, match="cannot be the id of a case, which names files"):
        prepare(spec, tmp_path / "raw/manifest.json", tmp_path / "a/b/c/index.json")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_raw_manifest_cannot_name_files_outside(project: Path, tmp_path: Path) -> None:
    for name in ("../../secret", "/etc/passwd"):
        manifest = read_json(project / "data/raw/la/manifest.json")
        manifest["cases"][0]["image"] = name
        write_json(tmp_path / "manifest.json", manifest)
        with pytest.raises(UserError, match="names a file outside its folder"):
            prepare({"dataset": "la", "name": "p", "preparation": {"axes": "xyz", "steps": []}},
                    tmp_path / "manifest.json", tmp_path / "prepared/index.json")  # fmt: skip


@pytest.mark.parametrize("name", ["a\nb", "a\\b"])
def test_case_folders_of_the_user_that_cannot_name_files_are_told(tmp_path: Path, name: str) -> None:
    write_scans(tmp_path / "raw/la", ("good", name))
    with pytest.raises(UserError, match="cannot be the id of a case"):
        build_raw(raw_spec("la", source=None, generate=None), tmp_path / "raw/la")
    assert not (tmp_path / "raw/la/manifest.json").exists()


def test_a_split_list_cannot_name_what_is_not_in_the_raw_data(project: Path, tmp_path: Path) -> None:
    spec = {"dataset": "la", "name": "s", "split": {"list": "la_uamt_8lab"}}
    with pytest.raises(UserError, match="cases are not in the raw data"):
        split(spec, project / "data/raw/la/manifest.json", tmp_path / "split.json")
    assert not (tmp_path / "split.json").exists()


def test_predict_writes_no_case_elsewhere(copy: Path) -> None:
    """Split and index both name a case that leads out of the project."""
    name = "../../../../../../../../../out"
    index, lists = copy / "data/prepared/la/la_half/index.json", copy / "data/splits/la/tiny.json"
    content, parts = read_json(index), read_json(lists)
    content["cases"][name] = content["cases"][parts["test"][0]]
    parts["test"] = [name]
    write_json(index, content)
    write_json(lists, parts)
    (copy / RUN / "predictions.json").unlink()
    record = read_json(copy / f"{RUN}/predictions.json.lineage.json")
    done = semiseg(copy, "predict", "--spec", json.dumps(record["params"]), "--weights", f"{RUN}/weights.safetensors",
                   "--prepared", str(index), "--split", str(lists), "--out", f"{RUN}/predictions.json")  # fmt: skip
    assert done.returncode == 2 and f"{name!r} cannot be the id of a case" in done.stderr
    assert nothing_ran(copy.parent) and not (copy / RUN / "predictions.json").exists()


def test_evaluate_reads_no_case_from_elsewhere(copy: Path) -> None:
    raw = copy / "data/raw/la/manifest.json"
    content = read_json(raw)
    content["cases"][0]["id"] = "../../out"
    write_json(raw, content)
    with pytest.raises(UserError, match="cannot be the id of a case"):
        evaluate_run(
            copy / RUN / "predictions.json", copy / "data/prepared/la/la_half/index.json", raw, copy / "s.csv", 1
        )
    assert not (copy / "s.csv").exists()


# --- crates -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, here = tmp_path_factory.mktemp("exported"), Path.cwd()
    os.chdir(project)
    try:
        export(TABLE, folder / "crate", with_weights=True)
    finally:
        os.chdir(here)
    return folder / "crate"


@pytest.fixture
def crate(exported: Path, tmp_path: Path) -> Path:
    """A crate that a test may spoil."""
    return Path(shutil.copytree(exported, tmp_path / "crate"))


def listed(crate: Path, name: str, content: bytes, at: str | None = None) -> None:
    """Put a file into a crate with all that its description should say of it; ``at``: where it really lies."""
    path = crate / (at or name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    description = read_json(crate / DESCRIPTION)
    description["@graph"] = [entity for entity in description["@graph"] if entity["@id"] != name]
    entity = {"@id": name, "@type": "File", "sha256": sha256(path), "contentSize": str(len(content))}
    description["@graph"].append(entity)
    write_json(crate / DESCRIPTION, description)


def changed_json(crate: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a JSON file of a crate and its hash with it."""
    content = read_json(crate / name)
    change(content)
    if name.endswith(".lineage.json"):
        content["id"] = identity(content)
        content["seal"] = seal(content)
    write_json(crate / name, content)
    listed(crate, name, (crate / name).read_bytes())


def refused(crate: Path, sentence: str) -> None:
    """The crate is refused with this sentence, and nothing has been written."""
    folder = crate.parent / "unpacked"
    before = sorted(crate.parent.rglob("*"))
    with pytest.raises(UserError) as told:
        unpack_crate(crate, folder)
    assert sentence in str(told.value) and "\n" not in str(told.value)
    assert sorted(crate.parent.rglob("*")) == before


NAMED = {
    "../out": "points out of the archive",
    "/tmp/out": "has an absolute path",
    "C:\\out": "has an absolute path",
    "data\\..\\..\\out": "points out of the archive",
    "%2e%2e/out": "points out of the archive",
    "file:///etc/passwd": "a file outside the crate",
    "https://example.org/weights.json": "a file outside the crate",
    ".git/hooks/post-checkout": "hidden file",
    "data/.dvc/config": "hidden file",
    "results/model.pt": "weights are taken as .safetensors only, other forms can run code",
    "results/model.pkl": "weights are taken as .safetensors only, other forms can run code",
    "data/prepared/case.h5": "weights are taken as .safetensors only, other forms can run code",
    "conftest.py": "neither data nor a result nor the workflow",
    "results/run.sh": "neither data nor a result nor the workflow",
    "profiles/default/config.yaml": "neither data nor a result nor the workflow",
    "dvc.yaml": "neither data nor a result nor the workflow",
    ".": "neither data nor a result nor the workflow",
}


@pytest.mark.parametrize("name", NAMED)
def test_a_description_cannot_name_what_no_crate_holds(crate: Path, name: str) -> None:
    listed(crate, name, b"{}", at="inside.json")
    (crate / "inside.json").unlink()
    refused(crate, NAMED[name])


def test_files_that_are_not_listed_are_refused(crate: Path) -> None:
    (crate / "results/extra.csv").write_text("1")
    refused(crate, "'results/extra.csv', which its description does not list")


def test_a_listed_file_that_is_missing_is_told(crate: Path) -> None:
    (crate / "results/tiny.md").unlink()
    refused(crate, "lacks results/tiny.md, which its description lists")


@pytest.mark.parametrize("name", ["results/tiny.csv", "params.yaml", "Snakefile", f"{RUN}/weights.safetensors"])
def test_a_changed_file_is_named(crate: Path, name: str) -> None:
    content = bytearray((crate / name).read_bytes())
    content[-1] ^= 1
    (crate / name).write_bytes(content)
    refused(crate, f"{name} was changed (expected sha256 ")


def test_links_are_refused(crate: Path) -> None:
    (crate / "results/tiny.md").unlink()
    (crate / "results/tiny.md").symlink_to("/etc/hostname")
    refused(crate, "results/tiny.md is a link, device or pipe")
    (crate / "results/tiny.md").unlink()
    (crate / "data").rename(crate.parent / "elsewhere")
    (crate / "data").symlink_to(crate.parent / "elsewhere")
    refused(crate, "data is a link, device or pipe")


def test_weights_that_are_a_pickle_under_another_name_are_refused(crate: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch run",)

    listed(crate, f"{RUN}/weights.safetensors", pickle.dumps(Harm()))
    refused(crate, "weights.safetensors is no safetensors file")


def test_parameters_of_a_crate_are_checked(crate: Path) -> None:
    listed(crate, "params.yaml", f"a: {TAGS[0]}\n".encode())
    refused(crate, "params.yaml is not valid YAML")
    listed(crate, "params.yaml", yaml.safe_dump(everywhere("../../out")).encode())
    refused(crate, NO_NAME)


def test_records_and_lists_of_a_crate_cannot_name_files_outside(crate: Path, exported: Path) -> None:
    def restore() -> None:
        shutil.rmtree(crate)
        shutil.copytree(exported, crate)

    record = "results/tiny.csv.lineage.json"
    for path in ("../../out", "/etc/passwd"):
        changed_json(crate, record, lambda content, path=path: content["outputs"][0].update(path=path))
        refused(crate, record)
        restore()
    content = {**read_json(crate / record), "inputs": 7}
    listed(crate, record, canonical({**content, "seal": seal(content)}).encode())
    refused(crate, "record")
    restore()
    changed_json(
        crate, "data/raw/la/manifest.json", lambda content: content["files"].update({"../../out": {"sha256": "0"}})
    )
    refused(crate, "data/raw/la/manifest.json names a file outside its folder")
    restore()
    changed_json(crate, "data/prepared/la/la_half/index.json",
                 lambda content: content["cases"][CASES[0]].update(file="/etc/passwd"))  # fmt: skip
    refused(crate, "index.json names a file outside its folder")
    restore()
    changed_json(crate, f"{RUN}/predictions.json", lambda content: content["files"].update({"../../../out": "0"}))
    refused(crate, "predictions.json names a file outside its folder")
    restore()
    changed_json(crate, "absent.json", lambda content: content.update({"../out": "0"}))
    refused(crate, "absent.json: member '../out' points out of the archive")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"@graph": 1}', b'{"@graph": [1]}', b'{"@graph": [{"@id": 1, "@type": "File"}]}',
     b'{"@graph": [{"@id": "results/a.csv", "@type": "File"}]}', b"[" * 100_000,
     b'{"@graph": [{"@id": "results/a.csv", "@type": "File", "sha256": "0", "contentSize": "x"}]}'],
    ids=range(10),
)  # fmt: skip
def test_a_damaged_description_is_told(crate: Path, content: bytes) -> None:
    (crate / DESCRIPTION).write_bytes(content)
    refused(crate, DESCRIPTION)


def zipped(crate: Path, path: Path, extra: dict[str, bytes] | None = None, link: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(crate.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(crate).as_posix())
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
        if link is not None:
            info = zipfile.ZipInfo(link)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "/etc/passwd")
    return path


def test_a_good_zip_is_taken(exported: Path, tmp_path: Path) -> None:
    taken = unpack_crate(zipped(exported, tmp_path / "crate.zip"), tmp_path / "unpacked")
    assert TABLE in taken and "Snakefile" not in taken
    assert {path.relative_to(tmp_path / "unpacked").as_posix() for path in (tmp_path / "unpacked").rglob("*.*")
            if path.is_file()} == {*taken, DESCRIPTION}  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "link", "sentence"),
    [
        ({"../out": b""}, None, "'../out' points out of the archive"),
        ({"/tmp/out": b""}, None, "'/tmp/out' has an absolute path"),
        ({"results/TINY.csv": b""}, None, "equal but for case"),
        ({"results/bomb.json": bytes(100 << 20)}, None, "as a bomb does"),
        ({}, "results/link.json", "'results/link.json' is a link"),
    ],
)
def test_zips_with_harm_in_their_names_are_refused(
    exported: Path, tmp_path: Path, extra: dict[str, bytes], link: str | None, sentence: str
) -> None:
    refused(zipped(exported, tmp_path / "crate.zip", extra, link), sentence)


def test_a_folder_that_is_not_empty_is_left_alone(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = semiseg(tmp_path, "unpack", str(exported), str(tmp_path))
    assert done.returncode == 2 and "is not empty: give a new folder" in done.stderr
    done = semiseg(tmp_path, "unpack", str(tmp_path / "none.zip"), str(tmp_path / "new"))
    assert done.returncode == 2 and "is neither a folder nor a .zip file" in done.stderr
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "new").exists()
