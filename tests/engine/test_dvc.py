"""Sharing by DVC: what is pulled is whole and reruns nothing, and a table never rests on runs of other parameters."""

import json
import shutil
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
import yaml
from support import ROOT
from support.dvc_projects import NAME, built, call, clone, commit, done, params
from support.snakemake_project import planned
from support.ssh_server import ssh_server

TABLE = "results/tiny.csv"
RUN = "results/runs/phantom_mri/la_small/tiny/cps/seed1"
OF_ONE_METHOD = {"train": 1, "predict": 1, "evaluate": 1, "row": 1, "table": 1}


@pytest.fixture(scope="module")
def project():
    return built()


@pytest.fixture(scope="module")
def pulled(project, tmp_path_factory):
    """A second clone after `dvc pull`."""
    folder = clone(project, tmp_path_factory.mktemp("second") / "project")
    done(folder, "dvc", "pull")
    return folder


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
    assert (pulled / "data/raw/phantom_mri/manifest.json").exists() and (pulled / "results/tiny.html").exists()
    assert not list(pulled.glob("data/prepared/**/*.h5")) and not (pulled / RUN / "predictions").exists()


def test_a_pulled_project_is_up_to_date_for_both_engines(pulled):
    assert "up to date" in done(pulled, "dvc", "status", NAME, "results/runs/phantom_mri.dvc")
    assert planned(pulled) == {}
    assert done(pulled, "dvc", "repro", NAME).count("didn't change, skipping") == 2
    assert done(pulled, "git", "status", "--porcelain") == ""


def test_snakemake_is_told_what_it_has_written_itself(project, pulled):
    planned(pulled)
    own, told = metadata(project), metadata(pulled)
    assert own.keys() == told.keys() and len(own) > 20
    for output, known in own.items():
        for what in ("rule", "input", "params", "code", "input_checksums"):
            assert sorted(told[output][what]) == sorted(known[what]), (output, what)


def test_a_weight_plans_its_methods_jobs_alone_in_a_pulled_project(pulled):
    before = (pulled / "params.yaml").read_text()
    content = params()
    content["methods"]["cps"]["weight"] = 0.3
    (pulled / "params.yaml").write_text(yaml.safe_dump(content))
    assert planned(pulled) == OF_ONE_METHOD
    (pulled / "params.yaml").write_text(before)
    assert planned(pulled) == {}


def test_an_experiment_in_a_pulled_project_and_the_way_back(project, pulled):
    said = done(pulled, "dvc", "exp", "run", "-S", "methods.cps.weight=50", NAME)
    assert "of its volumes are not here and are made again" in said
    assert (pulled / RUN / "weights.safetensors").read_bytes() != (project / RUN / "weights.safetensors").read_bytes()
    assert "cps." in done(pulled, "dvc", "metrics", "diff")
    assert "methods.cps.weight" in done(pulled, "dvc", "params", "diff")
    assert not (pulled / ".dvc/cache/runs").exists()  # the run cache would bring back tables without their runs
    assert planned(pulled) == {}
    commit(pulled, "weight 50")
    done(pulled, "git", "checkout", "--quiet", "HEAD~1")
    assert planned(pulled)["train"] == 1  # the runs are still those of weight 50
    done(pulled, "dvc", "checkout")
    assert planned(pulled) == {}
    assert (pulled / RUN / "weights.safetensors").read_bytes() == (project / RUN / "weights.safetensors").read_bytes()
    assert "up to date" in done(pulled, "dvc", "status", NAME)


def test_metrics_plots_and_the_graph_are_shown(project):
    assert "cps.Dice" in done(project, "dvc", "metrics", "show", "results/tiny.metrics.json")
    assert "index.html" in done(project, "dvc", "plots", "show", "--out", "plots", TABLE)
    shutil.rmtree(project / "plots")
    assert "raw@phantom_mri" in done(project, "dvc", "dag", NAME)


def test_a_table_has_a_stage_with_all_its_texts():
    from semiseg.paths import FORMS

    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["table"]["do"]
    outputs = {name for kind in ("outs", "metrics", "plots") for entry in stage[kind] for name in entry}
    texts = {".csv", ".csv.lineage.json", *FORMS} - {".html"}
    assert outputs == {f"results/${{key}}{form}" for form in texts}
    assert any(options.get("persist") for entry in stage["outs"] for options in entry.values())


def test_push_and_pull_over_ssh(project, tmp_path):
    with ssh_server(tmp_path / "server") as server:
        source = clone(project, tmp_path / "source")
        done(source, "dvc", "pull")
        server.add_to(source)
        done(source, "dvc", "push", "--remote", "far")
        copy = clone(source, tmp_path / "copy")
        server.add_to(copy)
        done(copy, "dvc", "pull", "--remote", "far")
        assert planned(copy) == {}
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "wrong"], check=True)
        done(copy, "dvc", "remote", "modify", "--local", "far", "keyfile", str(tmp_path / "wrong"))
        refused = _fetch_anew(copy)
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr and "Traceback" not in refused.stderr


def _fetch_anew(folder: Path):
    shutil.rmtree(folder / ".dvc/cache")
    return call(folder, "dvc", "fetch", "--remote", "far")
