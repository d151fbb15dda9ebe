"""Random tamperings are found, each by the name of what was touched; untouched projects give no alarm.

The tests try five of each of ten kinds, `make properties` twenty.
"""

import ast
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from support import finished_project

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256, write_json
from semiseg.jobs.code_text import reduced
from semiseg.proof.audit.command import Options, audit

Project = Path
TAMPERINGS = int(os.environ.get("SEMISEG_TAMPERINGS", "5"))  # of each kind
FILES = {
    "raw": ("data/raw/*/*Tr/*", "data/raw/*/manifest.json"),
    "prepared": ("data/prepared/*/*/*.h5", "data/prepared/*/*/index.json"),
    "split": ("data/splits/*/tiny.json",),
    "weights": (
        f"{finished_project.RUN}/*/*/weights.safetensors",
        f"{finished_project.RUN}/*/*/history.csv",
        f"{finished_project.RUN}/*/*/cost.json",
    ),
    "prediction": (f"{finished_project.RUN}/*/*/predictions/*.nii.gz", f"{finished_project.RUN}/*/*/predictions.json"),
    "scores": (f"{finished_project.RUN}/*/*/cases.csv",),
    "table": ("results/tiny.*", "results/tiny/*.csv"),
    "record": ("data/**/*.lineage.json", "results/**/*.lineage.json"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return finished_project.copy(tmp_path_factory)


@pytest.fixture(autouse=True)
def inside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(request.getfixturevalue("project"))


def report(target: str = finished_project.TABLE, **options: object):
    return audit(finished_project.graph(), [Path(target)], Options(**options))


@pytest.mark.parametrize("what", FILES)
def test_a_changed_file_is_found_by_its_name(project: Project, what: str) -> None:
    dice = random.Random(f"tampering {what}")
    files = [path for pattern in FILES[what] for path in sorted(Path().glob(pattern))]
    files = [path for path in files if (what == "record") == path.name.endswith(".lineage.json")]
    for number in range(TAMPERINGS):
        for touched in swap(dice, files) if number % 4 == 3 and what != "split" else flip(dice, files):
            found = report()
            assert not found.proven, touched
            assert touched & {Path(finding.path) for finding in found.findings}, (touched, list(found.lines()))
    assert report().proven


def test_a_changed_parameter_is_found_by_its_name(project: Project) -> None:
    """Every value of the file counts here, since the table depends on all of them, but for its notes."""
    dice = random.Random("params")
    path = Path("params.yaml")
    content = yaml.safe_load(path.read_bytes())
    for entry in (*content["tables"].values(), *content["protocols"].values()):
        entry.pop("notes", None)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    text = path.read_bytes()
    for _ in range(TAMPERINGS):
        while True:
            changed = flipped(dice, text)
            try:
                if yaml.safe_load(changed) != content:
                    break
            except (yaml.YAMLError, UnicodeDecodeError):
                break
        path.write_bytes(changed)
        try:
            found = report()
        except UserError as error:
            assert str(error)
        else:
            assert not found.proven, changed
            assert {str(finding.verdict) for finding in found.findings} <= {"stale", "missing"}
    path.write_bytes(text)
    assert report().proven


def test_changed_source_is_found_by_the_name_of_its_module(project: Project, tmp_path: Path) -> None:
    dice = random.Random("source")
    source = finished_project.copy_of_source(tmp_path)
    records = [read_json(path) for path in Path().glob("**/*.lineage.json")]
    modules = sorted({name for record in records for name in record["code"]["modules"]})
    for module in dice.choices(modules, k=TAMPERINGS):
        path = source / (module.replace(".", "/") + ".py")
        path = path if path.exists() else path.with_suffix("") / "__init__.py"
        text = path.read_bytes()
        while meaning(changed := flipped(dice, text)) == meaning(text):
            pass
        path.write_bytes(changed)
        result = finished_project.command("audit", finished_project.TABLE, source=source)
        assert result.returncode != 0, (module, changed)
        told = result.stdout + result.stderr
        assert module in told or path.relative_to(source).as_posix() in told, (module, told)
        path.write_bytes(text)
    assert finished_project.command("audit", finished_project.TABLE, source=source).returncode == 0


def flip(dice: random.Random, files: list[Path]) -> Iterator[set[Path]]:
    """One bit of one file, and back."""
    path = dice.choice(files)
    content = path.read_bytes()
    path.write_bytes(flipped(dice, content))
    yield {path}
    path.write_bytes(content)


def swap(dice: random.Random, files: list[Path]) -> Iterator[set[Path]]:
    """Two files of the same kind that differ, and back."""
    while True:
        one, other = dice.choices(files, k=2)
        if one.suffixes[-2:] == other.suffixes[-2:] and sha256(one) != sha256(other):
            break
    for _ in range(2):
        contents = one.read_bytes(), other.read_bytes()
        one.write_bytes(contents[1])
        other.write_bytes(contents[0])
        if _ == 0:
            yield {one, other}


def flipped(dice: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def meaning(source: bytes) -> str | None:
    """What counts of a source text; None for what is no source."""
    try:
        return ast.unparse(reduced(ast.parse(source.decode())))
    except (SyntaxError, ValueError):
        return None


# --- 20 clean audits ---


def nothing(project: Project) -> None:
    """An untouched project."""


def touched(project: Project) -> None:
    for path in Path().rglob("*"):
        os.utime(path)


def clock_set_back(project: Project) -> None:
    for path in Path().rglob("*"):
        os.utime(path, (0, 0))


def moved(project: Project) -> None:
    elsewhere = project.parent / "else where"
    project.rename(elsewhere)
    os.chdir(elsewhere)


def copied(project: Project) -> None:
    shutil.copytree(project, project.parent / "copy")
    os.chdir(project.parent / "copy")


def behind_a_link(project: Project) -> None:
    (project.parent / "link").symlink_to(project)
    os.chdir(project.parent / "link")


def pulled(project: Project) -> None:
    """What a clone has after `dvc pull`: no prepared volumes, no predicted ones, nothing hidden."""
    for path in [*Path().rglob("*.h5"), *Path().glob(f"{finished_project.RUN}/**/*.nii.gz"), *Path().rglob(".*.json")]:
        path.unlink()


def without_raw_files(project: Project) -> None:
    for folder in Path("data/raw/phantom_mri").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)


def unpacked_without_weights(project: Project) -> None:
    weights = sorted(Path().glob(f"{finished_project.RUN}/**/weights.safetensors"))
    write_json("absent.json", {path.as_posix(): sha256(path) for path in weights})
    for path in weights:
        path.unlink()


def with_a_figure_more(project: Project) -> None:
    write_json("results/tiny/figures/curves.svg", {})
    write_json("results/other.csv", {})
    write_json("results/other.csv.lineage.json", {})


def without_logs_and_state(project: Project) -> None:
    for name in ("results/logs", "results/state"):
        shutil.rmtree(name, ignore_errors=True)


def read_only(project: Project) -> None:
    for folder in [project, *project.rglob("*")]:
        folder.chmod(0o555 if folder.is_dir() else 0o444)


def crlf_comment_in_params(project: Project) -> None:
    with Path("params.yaml").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")


def a_table_more_in_params(project: Project) -> None:
    params = finished_project.params()
    params["tables"]["more"] = {**params["tables"]["tiny"], "rows": ["cps"]}
    finished_project.write_params(project, params)


CLEAN: list[tuple[Callable[[Project], None], str, dict[str, object]]] = [
    (nothing, finished_project.TABLE, {}),
    (nothing, finished_project.TABLE, {"workers": 1}),
    (nothing, finished_project.TABLE, {"workers": 8}),
    (nothing, finished_project.TABLE, {"quick": True}),
    (nothing, "results/tiny.html", {}),
    (nothing, f"{finished_project.RUN}/cps/seed1/weights.safetensors", {}),
    (nothing, "data/prepared/phantom_mri/la_half/phantom_mri_0003.h5", {}),
    (nothing, finished_project.TABLE, {"redo": "score", "sample": 4, "workers": 1}),
    (touched, finished_project.TABLE, {}),
    (clock_set_back, finished_project.TABLE, {"quick": True}),
    (moved, finished_project.TABLE, {}),
    (copied, finished_project.TABLE, {}),
    (behind_a_link, finished_project.TABLE, {}),
    (pulled, finished_project.TABLE, {}),
    (without_raw_files, finished_project.TABLE, {}),
    (unpacked_without_weights, finished_project.TABLE, {}),
    (with_a_figure_more, finished_project.TABLE, {}),
    (without_logs_and_state, finished_project.TABLE, {"strict": True}),
    (read_only, finished_project.TABLE, {"quick": True}),
    (crlf_comment_in_params, finished_project.TABLE, {}),
    (a_table_more_in_params, finished_project.TABLE, {}),
]


@pytest.mark.parametrize(("arrange", "target", "options"), CLEAN)
def test_an_untouched_project_gives_no_alarm(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    arrange: Callable[[Project], None],
    target: str,
    options: dict[str, object],
) -> None:
    own = finished_project.copy(tmp_path_factory)
    monkeypatch.chdir(own)
    arrange(own)
    found = report(target, **options)
    assert found.proven, list(found.lines())
    assert not found.findings
