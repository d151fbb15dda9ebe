"""Sharing by DVC and other printed commands, as printed, in new clones: what is pulled is whole and reruns nothing.

The walk of docs/share.md is run once: it builds a tiny demo in the folder ``mine`` and pulls it into ``elsewhere``.
"""

import json
import re
import shlex
import shutil
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
import yaml
from support import ROOT, params_yaml, project_folder
from support.dvc_projects import call, clone, commit, done
from support.needs import skip
from support.project_folder import write_params
from support.snakemake_project import alone, planned
from support.ssh_server import ssh_server

NAME, TABLE = "table@demo", "results/demo.csv"
RUN = "results/runs/phantom_three/demo/demo/guidednet/seed7"
OF_ONE_METHOD = {"train": 1, "predict": 1, "evaluate": 1, "row": 1, "table": 1}
SHARE = (ROOT / "docs/share.md").read_text(encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """The commands of a code block in order, as words without comments; ``&&`` divides them."""
    lines = [re.sub(r"\s#\s.*", "", line) for line in text.splitlines()]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


def blocks(page: str) -> list[str]:
    """The plain code blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.M | re.S)
    return [block for language, block in found if not language]


@pytest.fixture(scope="module")
def tiny_demo(tmp_path_factory) -> Path:
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
def new(tiny_demo) -> Path:
    """A new clone, in which nothing is built."""
    return clone(tiny_demo, tiny_demo.parent / "new")


@pytest.fixture(scope="module")
def walked(tiny_demo) -> dict[str, str]:
    """What each command of docs/share.md's walk printed, run one by one in a new clone."""
    folder, printed = clone(tiny_demo, tiny_demo.parent / "mine"), {}
    for words in commands(blocks("docs/share.md")[0]):
        if words[0] == "cd":
            folder = (folder / words[1]).resolve()
        else:
            printed[" ".join(words)] = done(folder, *words)
    return printed


@pytest.fixture(scope="module")
def project(tiny_demo, walked) -> Path:
    """The clone in which the walk built the demo and pushed it."""
    return tiny_demo.parent / "mine"


@pytest.fixture(scope="module")
def elsewhere(tiny_demo, walked) -> Path:
    """The clone in which the walk pulled the demo, tried another weight and came back."""
    return tiny_demo.parent / "elsewhere"


@pytest.fixture(scope="module")
def pulled(tiny_demo, project) -> Path:
    """One more clone after `dvc pull`, beside the store that the walk named."""
    folder = clone(project, tiny_demo.parent / "pulled")
    done(folder, "dvc", "pull")
    return folder


def tiny(content: dict) -> dict:
    """Parameters with a demo of few small scans and one short training."""
    content["datasets"]["phantom_three"]["generate"] |= {"labelled": 4, "unlabelled": 1}
    content["splits"]["phantom_three"]["demo"]["draw"] |= {"labelled": 2, "unlabelled": 1, "val": 1, "test": 1}
    protocol = content["protocols"]["demo"]
    protocol["network"]["filters"] = 2
    protocol["training"] |= {"iterations": 2, "validation": None}
    content["tables"]["demo"]["rows"] = ["guidednet"]
    return alone(content, "demo")


def plan(folder: Path, words: list[str]) -> str:
    """What a printed call of Snakemake plans as a dry run, which must succeed."""
    return done(folder, *words, *([] if "-n" in words else ["-n"]))


def test_calls_for_the_demos_texts_find_nothing_to_do_in_a_new_clone(new):
    """As docs/share.md says; its walk therefore forces the first build."""
    assert "up to date" in done(new, "dvc", "repro", "table@demo")
    assert "rule train" in plan(new, ["snakemake", "results/demo.html"])


def test_a_pull_in_a_new_clone_ends_as_the_page_says(new):
    result = call(new, "dvc", "pull")
    assert result.returncode != 0
    quoted = [text for text in re.findall(r"`([^`]+)`", SHARE) if text in result.stderr]
    assert quoted, result.stderr


def test_every_call_of_snakemake_builds_something_where_nothing_is_built(tmp_path):
    """All pages' calls outside share.md, as dry runs; a profile for SLURM needs a cluster and has tests of its own."""
    pages = ("README.md", "docs/keep-house.md", "docs/slurm.md", "docs/figures.md")
    lines = [words for page in pages for block in blocks(page) for words in commands(block) if words]
    calls = {shlex.join(words).replace(" --cores all", "").replace(" -n", ""): words for words in lines}
    calls = {text: words for text, words in calls.items() if words[0] == "snakemake" and "<" not in text}
    folder = project_folder.new(tmp_path / "project", params_yaml.content())
    assert len(calls) >= 8
    for text, words in calls.items():
        if "profiles/slurm" not in text:
            assert "Job stats" in plan(folder, words), text


def test_the_walk_builds_shares_and_comes_back(walked, elsewhere):
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
        assert expected in walked[call_], walked[call_]
    assert "Nothing to be done" in done(elsewhere, "snakemake", "-n", "results/demo.html")
    assert done(elsewhere, "git", "status", "--porcelain", "--untracked-files=no") == ""


def test_the_readmes_calls_on_a_built_demo(elsewhere):
    calls = [words for block in blocks("README.md") for words in commands(block) if words[:1] == ["semiseg"]]
    calls = [words for words in calls if "results/demo.csv" in words]
    assert [words[1] for words in calls] == ["show", "lineage", "audit", "export"]
    for words in calls:
        done(elsewhere, *words)
    done(elsewhere, "semiseg", "unpack", "demo.zip", "../unpacked")
    assert "results/demo.csv: proven" in done(elsewhere.parent / "unpacked", "semiseg", "audit", "results/demo.csv")


def test_a_table_built_by_snakemake_alone_is_recorded_by_the_printed_calls(elsewhere):
    """They stand in a sentence of docs/share.md."""
    text = " ".join(SHARE.partition("built by `snakemake` alone")[2].split())
    for calls in re.findall(r"`([^`]+)`", text)[:2]:
        for words in commands(calls):
            done(elsewhere, *words)


def test_a_second_folder_for_updates(new):
    """Up to the environment, which the tests do not install."""
    block = next(block for block in blocks("docs/keep-house.md") if "git worktree" in block)
    for words in commands(block)[:2]:
        done(new, *words)
    assert (new.parent / "semiseg-new/Snakefile").exists()


def metadata(folder: Path) -> dict[str, dict]:
    """What Snakemake remembers, by output."""
    found = {}
    for path in (folder / ".snakemake/metadata").rglob("*"):
        if path.is_file() and path.suffix != ".json":
            parts = path.relative_to(folder / ".snakemake/metadata").parts
            found[urlsafe_b64decode("".join(part.lstrip("@") for part in parts)).decode()] = json.loads(
                path.read_text()
            )
    return found


def test_a_pull_brings_all_but_caches(project, pulled):
    for name in ("weights.safetensors", "history.csv", "cost.json", "cases.csv", "predictions.json"):
        assert (pulled / RUN / name).read_bytes() == (project / RUN / name).read_bytes()
    records = {path.relative_to(project) for path in project.glob("[dr]*/**/*.lineage.json")}
    assert records == {path.relative_to(pulled) for path in pulled.glob("[dr]*/**/*.lineage.json")}
    assert (pulled / "data/raw/phantom_three/manifest.json").exists() and (pulled / "results/demo.html").exists()
    assert not list(pulled.glob("data/prepared/**/*.h5")) and not (pulled / RUN / "predictions").exists()


def test_a_pulled_project_is_up_to_date_for_both_engines(pulled):
    assert "up to date" in done(pulled, "dvc", "status", NAME, "results/runs/phantom_three.dvc")
    assert planned(pulled, TABLE) == {}
    assert done(pulled, "dvc", "repro", NAME).count("didn't change, skipping") == 2
    assert done(pulled, "git", "status", "--porcelain") == ""


def test_snakemake_is_told_what_it_has_written_itself(project, pulled):
    planned(pulled, TABLE)
    own, told = metadata(project), metadata(pulled)
    assert own.keys() == told.keys() and len(own) > 15
    for output, known in own.items():
        for what in ("rule", "input", "params", "code", "input_checksums"):
            assert sorted(told[output][what]) == sorted(known[what]), (output, what)


def test_a_weight_plans_its_methods_jobs_alone_in_a_pulled_project(pulled):
    before = (pulled / "params.yaml").read_text()
    write_params(pulled, yaml.safe_load(before) | {"methods": {"guidednet": {"weight": 0.3}}})
    assert planned(pulled, TABLE) == OF_ONE_METHOD
    (pulled / "params.yaml").write_text(before)
    assert planned(pulled, TABLE) == {}


def test_an_experiment_is_applied_committed_and_left_again(walked, project, elsewhere):
    experiment = "dvc exp run -S ++methods.guidednet.weight=0.2 table@demo"
    assert "of its volumes are not here and are made again" in walked[experiment]
    assert not (elsewhere / ".dvc/cache/runs").exists()  # the run cache would bring back tables without their runs
    (name,) = re.findall(r"Ran experiment\(s\): (\S+)", walked[experiment])
    done(elsewhere, "dvc", "exp", "apply", name)
    assert (elsewhere / RUN / "weights.safetensors").read_bytes() != (
        project / RUN / "weights.safetensors"
    ).read_bytes()
    assert "methods.guidednet.weight" in done(elsewhere, "dvc", "params", "diff")
    assert planned(elsewhere, TABLE) == {}
    commit(elsewhere, "weight 0.2")
    done(elsewhere, "git", "checkout", "--quiet", "HEAD~1")
    assert planned(elsewhere, TABLE)["train"] == 1  # the runs are still those of weight 0.2
    done(elsewhere, "dvc", "checkout")
    assert planned(elsewhere, TABLE) == {}
    assert (elsewhere / RUN / "weights.safetensors").read_bytes() == (
        project / RUN / "weights.safetensors"
    ).read_bytes()
    assert "up to date" in done(elsewhere, "dvc", "status", NAME)


def test_metrics_plots_and_the_graph_are_shown(project):
    assert "guidednet.Dice" in done(project, "dvc", "metrics", "show", "results/demo.metrics.json")
    assert "index.html" in done(project, "dvc", "plots", "show", "--out", "plots", TABLE)
    shutil.rmtree(project / "plots")
    assert "raw@phantom_three" in done(project, "dvc", "dag", NAME)


def test_a_table_has_a_stage_with_all_its_texts():
    from semiseg.paths import FORMS

    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["table"]["do"]
    outputs = {name for kind in ("outs", "metrics", "plots") for entry in stage[kind] for name in entry}
    texts = {".csv", ".csv.lineage.json", *FORMS} - {".html"}
    assert outputs == {f"results/${{key}}{form}" for form in texts}
    assert any(options.get("persist") for entry in stage["outs"] for options in entry.values())


def test_a_stage_depends_on_all_protocols_because_a_row_may_name_its_own():
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["table"]["do"]
    assert "protocols" in stage["params"]


def test_push_and_pull_over_ssh(pulled, tmp_path):
    with ssh_server(tmp_path / "server") as server:
        server.add_to(pulled)
        done(pulled, "dvc", "push", "--remote", "far")
        copy = clone(pulled, tmp_path / "copy")
        server.add_to(copy)
        done(copy, "dvc", "pull", "--remote", "far")
        assert planned(copy, TABLE) == {}
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "wrong"], check=True)
        done(copy, "dvc", "remote", "modify", "--local", "far", "keyfile", str(tmp_path / "wrong"))
        refused = _fetch_anew(copy)
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr and "Traceback" not in refused.stderr


def _fetch_anew(folder: Path):
    shutil.rmtree(folder / ".dvc/cache")
    return call(folder, "dvc", "fetch", "--remote", "far")
