"""Two people add runs of one dataset and merge, by the very commands of docs/share.md."""

import contextlib
import re
import shutil
from pathlib import Path

import pytest
import yaml
from support import ROOT
from support.dvc_projects import call, clone, commit, done, new
from support.finished_project import arguments, graph, main, params, write_params

RUNS = "results/runs/phantom_mri"
POINTER, SPLITS = f"{RUNS}.dvc", "data/splits/phantom_mri.dvc"
PAGE = (ROOT / "docs/share.md").read_text(encoding="utf-8").partition("## Merge")[2]
TELL, steps, BY_HAND = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
MERGE = re.findall(r"^for .*?^done$|^[^\n]+$", steps, re.MULTILINE | re.DOTALL)
ROWS = {"base": "control_perfect", "left": "cps", "right": "control_empty", "twin": "cps"}
"""The one row of each table."""
SPLIT = {"base": "tiny", "left": "odd", "right": "even", "twin": "odd"}
"""The split of each table; ``left`` and ``twin`` rest on the same run."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A bare repository: ``base`` on its main branch, and each other table on a branch of its own, in another clone."""
    place = tmp_path_factory.mktemp("merge")
    first = new(place / "first")
    shutil.copy(ROOT / ".gitattributes", first)
    write_params(first, _params())
    done(first, "dvc", "remote", "add", "--default", "store", str(place / "store"))
    _build(first, "base")
    done(first, "semiseg", "keep-raw", "phantom_mri")
    _keep(first, "base", "raw@phantom_mri")
    done(first, "git", "clone", "--quiet", "--bare", str(first), str(place / "hub"))
    for table in ("left", "right", "twin"):
        folder = clone(place / "hub", place / table)
        done(folder, "git", "switch", "--quiet", "--create", table)
        done(folder, "dvc", "pull")
        _build(folder, table)
        _keep(folder, table)
        done(folder, "git", "tag", f"{table}-alone")
        done(folder, "git", "push", "--quiet", "--tags", "--set-upstream", "origin", table)
    return place / "hub"


@pytest.fixture(scope="module")
def merged(hub):
    """The clone of ``left`` after a merge by a driver."""
    folder = hub.parent / "left"
    _run(folder, "right", TELL)
    _run(folder, "right", *MERGE)
    return folder


@pytest.fixture
def left(hub, tmp_path):
    """Another clone of ``left``, pulled, before any merge and not told of the driver."""
    folder = clone(hub, tmp_path / "left")
    done(folder, "git", "switch", "--quiet", "--create", "mine", "left-alone")
    done(folder, "dvc", "pull")
    return folder


def test_a_third_clone_gets_the_runs_of_both_and_proves_both_tables(hub, merged, tmp_path):
    third = clone(hub, tmp_path / "third")
    done(third, "git", "switch", "--quiet", "left")
    done(third, "dvc", "pull")
    for table in ("base", "left", "right"):
        assert f"results/{table}.csv: proven" in done(third, "semiseg", "audit", f"results/{table}.csv")
    assert _methods(third) == {"control_perfect", "cps", "control_empty"}
    assert "up to date" in done(third, "dvc", "status", "table@left", "table@right", POINTER, SPLITS)
    assert done(third, "git", "status", "--porcelain") == ""


def test_by_hand_the_same_comes_out(merged, left):
    conflict = _run(left, "right", "git merge origin/main")
    assert {"dvc.lock", POINTER, SPLITS} == _conflicts(left) and f"Merge conflict in {POINTER}" in conflict
    _no_side_is_taken(left)
    _run(left, "right", BY_HAND)
    for pointer in (POINTER, SPLITS):
        assert (left / pointer).read_bytes() == (merged / pointer).read_bytes()
    _run(left, "right", *MERGE[3:-1])
    commit(left, "merged")
    assert "results/right.csv: proven" in done(left, "semiseg", "audit", "results/right.csv")
    assert (left / "dvc.lock").read_bytes() == (merged / "dvc.lock").read_bytes()


def test_a_driver_without_the_lists_of_files_takes_no_side(left):
    _run(left, "right", TELL)
    shutil.rmtree(left / ".dvc/cache")
    _run(left, "right", "git merge origin/main")
    _no_side_is_taken(left)


def test_one_run_made_by_both(left):
    _run(left, "twin", TELL)
    done(left, "dvc", "fetch", "--all-commits", POINTER)
    before = (left / POINTER).read_bytes()
    refused = _run(left, "twin", "git merge origin/main")
    assert "unable to auto-merge the following paths:" in refused
    assert "la_small/odd/cps/seed1/weights.safetensors.lineage.json" in refused
    _no_side_is_taken(left)
    _run(left, "twin", BY_HAND)
    assert (left / POINTER).read_bytes() == before
    done(left, "dvc", "pull")
    assert "proven" in done(left, "semiseg", "audit", "results/left.csv")
    other = call(left, "semiseg", "audit", "results/twin.csv")
    assert other.returncode != 0 and "stale: results/twin.csv was made from another" in other.stdout
    for table, planned in (("left", False), ("twin", True)):
        plan = done(left, "snakemake", "--dry-run", "--cores", "1", f"results/{table}.csv")
        assert ("rule table:" in plan, "rule train:" in plan) == (planned, False), plan


def _params() -> dict:
    """A table per row, side by side."""
    content = params()
    table = content["tables"].pop("tiny") | {"seeds": [1]}
    content["tables"] = {name: table | {"rows": [row], "split": SPLIT[name]} for name, row in ROWS.items()}
    splits = content["splits"]["phantom_mri"]
    splits |= {name: {"draw": splits["tiny"]["draw"] | {"seed": seed}} for seed, name in enumerate(("odd", "even"), 2)}
    return content


def _build(folder: Path, table: str) -> None:
    """The jobs of a table whose files are not there."""
    with contextlib.chdir(folder):
        for job in graph().chain(f"results/{table}.csv"):
            assert Path(job.main).exists() or main(arguments(job)) == 0, job.main


def _keep(folder: Path, table: str, *stages: str) -> None:
    """A table and its runs into DVC, git, and the remote."""
    done(folder, "semiseg", "keep", table)
    done(folder, "dvc", "commit", "--force", *stages, f"table@{table}")
    commit(folder, table)
    done(folder, "dvc", "push")


def _run(folder: Path, theirs: str, *commands: str) -> str:
    """Commands of the page, with the names of this project; a merge alone may fail, since it leaves conflicts."""
    said = ""
    for command in commands:
        command = command.replace("origin/main", f"origin/{theirs}").replace("la_16", theirs)
        result = call(folder, "bash", "-c", re.sub(r"/la\b", "/phantom_mri", command))
        said += result.stdout + result.stderr
        assert result.returncode == 0 or command.startswith("git merge "), said
    return said


def _conflicts(folder: Path) -> set[str]:
    return set(done(folder, "git", "diff", "--name-only", "--diff-filter=U").split())


def _no_side_is_taken(folder: Path) -> None:
    """The pointer of runs shows its conflict, which no DVC command reads over, and dvc.lock is whole."""
    assert POINTER in _conflicts(folder) and "<<<<<<< " in (folder / POINTER).read_text()
    assert "table@left" in yaml.safe_load((folder / "dvc.lock").read_text())["stages"]


def _methods(folder: Path) -> set[str]:
    return {path.parent.parent.name for path in (folder / RUNS).rglob("cases.csv")}
