"""Printed commands work as printed in a new clone, which has the demo's texts and neither runs nor a store."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from support import ROOT
from support.dvc_projects import call, clone, commit, done
from support.needs import skip
from support.project_folder import write_params

SHARE = (ROOT / "docs/share.md").read_text(encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """The commands of a code block in order, as words without comments; ``&&`` divides them."""
    lines = [re.sub(r"\s#\s.*", "", line) for line in text.splitlines()]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


def blocks(page: str) -> list[str]:
    """The plain code blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^ *```\n(.*?)^ *```", text, re.M | re.S)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The project at its last commit on a branch ``main``, whose demo is tiny and is recorded in dvc.lock as made."""
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True).returncode:
        skip("git", "this copy of the project is no git repository")
    folder = clone(ROOT, tmp_path_factory.mktemp("printed") / "project")
    done(folder, "git", "switch", "--quiet", "--force-create", "main")
    for name in ("src/semiseg", "workflow"):  # as they are here: an edit may not be committed yet
        shutil.rmtree(folder / name)
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_params(folder, tiny(yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))))
    done(folder, "dvc", "commit", "--force", "raw@phantom_three", "table@demo")
    commit(folder, "tiny")
    return folder


@pytest.fixture(scope="module")
def new(project) -> Path:
    """A new clone, in which nothing is built."""
    return clone(project, project.parent / "new")


@pytest.fixture(scope="module")
def walked(project) -> tuple[dict[str, str], Path]:
    """What each command of docs/share.md's walk printed, run one by one in a new clone, and the folder of the last."""
    folder, printed = clone(project, project.parent / "mine"), {}
    for words in commands(blocks("docs/share.md")[0]):
        if words[0] == "cd":
            folder = (folder / words[1]).resolve()
        else:
            printed[" ".join(words)] = done(folder, *words)
    return printed, folder


def tiny(content: dict) -> dict:
    """Parameters with a demo of few small scans and one short training."""
    content["datasets"]["phantom_three"]["generate"] |= {"labelled": 4, "unlabelled": 1}
    content["splits"]["phantom_three"]["demo"]["draw"] |= {"labelled": 2, "unlabelled": 1, "val": 1, "test": 1}
    protocol = content["protocols"]["demo"]
    protocol["network"]["filters"] = 2
    protocol["training"] |= {"iterations": 2, "validation": None}
    content["tables"]["demo"]["rows"] = ["guidednet"]
    return content


def planned(folder: Path, words: list[str]) -> str:
    """What a printed call of Snakemake plans as a dry run, which must succeed."""
    return done(folder, *words, *([] if "-n" in words else ["-n"]))


def test_calls_for_the_demos_texts_find_nothing_to_do_in_a_new_clone(new):
    """As docs/share.md says; its walk therefore forces the first build."""
    assert "up to date" in done(new, "dvc", "repro", "table@demo")
    assert "rule train" in planned(new, ["snakemake", "results/demo.html"])


def test_a_pull_in_a_new_clone_ends_as_the_page_says(new):
    result = call(new, "dvc", "pull")
    assert result.returncode != 0
    quoted = [text for text in re.findall(r"`([^`]+)`", SHARE) if text in result.stderr]
    assert quoted, result.stderr


def test_every_call_of_snakemake_builds_something_in_a_new_clone(new):
    """All pages' calls outside share.md, as dry runs; a profile for SLURM needs a cluster and has tests of its own."""
    pages = ("README.md", "docs/keep-house.md", "docs/slurm.md", "docs/figures.md")
    lines = [words for page in pages for block in blocks(page) for words in commands(block) if words]
    calls = {shlex.join(words).replace(" --cores all", "").replace(" -n", ""): words for words in lines}
    calls = {text: words for text, words in calls.items() if words[0] == "snakemake" and "<" not in text}
    assert len(calls) >= 8
    for text, words in calls.items():
        if "profiles/slurm" not in text:
            assert "Job stats" in planned(new, words), text


def test_the_walk_builds_shares_and_comes_back(walked):
    printed, folder = walked
    assert folder.name == "elsewhere"
    for call_, expected in {
        "dvc repro --force table@demo": "kept under DVC",
        "git commit -m demo": "files changed",
        "dvc push": "files pushed",
        "dvc pull": "results/runs/phantom_three/",
        "snakemake -n results/demo.html": "Nothing to be done",
        "dvc exp run -S ++methods.guidednet.weight=0.2 table@demo": "1 train, 1 predict, 1 evaluate, 1 row, 1 table",
        "dvc metrics diff": "guidednet.",
        "dvc checkout": "results/runs/phantom_three/",
    }.items():
        assert expected in printed[call_], printed[call_]
    assert "Nothing to be done" in done(folder, "snakemake", "-n", "results/demo.html")
    assert done(folder, "git", "status", "--porcelain", "--untracked-files=no") == ""


def test_the_readmes_calls_on_a_built_demo(walked):
    folder = walked[1]
    calls = [words for block in blocks("README.md") for words in commands(block) if words[:1] == ["semiseg"]]
    calls = [words for words in calls if "results/demo.csv" in words]
    assert [words[1] for words in calls] == ["show", "lineage", "audit", "export"]
    for words in calls:
        done(folder, *words)
    done(folder, "semiseg", "unpack", "demo.zip", "../unpacked")
    assert "results/demo.csv: proven" in done(folder.parent / "unpacked", "semiseg", "audit", "results/demo.csv")


def test_a_table_built_by_snakemake_alone_is_recorded_by_the_printed_calls(walked):
    """They stand in a sentence of docs/share.md."""
    text = " ".join(SHARE.partition("built by `snakemake` alone")[2].split())
    for calls in re.findall(r"`([^`]+)`", text)[:2]:
        for words in commands(calls):
            done(walked[1], *words)


def test_a_second_folder_for_updates(new):
    """Up to the environment, which the tests do not install."""
    block = next(block for block in blocks("docs/keep-house.md") if "git worktree" in block)
    for words in commands(block)[:2]:
        done(new, *words)
    assert (new.parent / "semiseg-new/Snakefile").exists()
