"""A try that fails, crashes or is killed costs nothing of the finished run before it; to undo the edit is enough."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import finished_project, kills, project_folder, warm

from semiseg.base.files import sha256

RUN = f"{finished_project.RUN}/cps/seed1"
LOG = "results/logs/train/phantom_mri.la_small.tiny.cps.seed1.log"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A finished project with the real workflow, which knows that nothing is to be done."""
    folder = project_folder.new(finished_project.copy(tmp_path_factory), finished_project.params())
    assert nothing_to_do(folder)
    return folder


@pytest.fixture(autouse=True)
def undone(project):
    """After each try its edit is undone; then all is as before, and nothing is planned."""
    before = files(project)
    yield
    assert files(project) == before
    finished_project.write_params(project, finished_project.params())
    assert nothing_to_do(project)


def files(folder: Path) -> dict[str, str]:
    """Content of all that is finished, volumes and records included."""
    found = (path for path in (folder / "results/runs").rglob("[!.]*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in found}


def with_weight(folder: Path, weight: float) -> None:
    content = finished_project.params()
    content["methods"]["cps"]["weight"] = weight
    finished_project.write_params(folder, content)


def call(folder: Path, *arguments: str, source: Path | None = None) -> str:
    """Output of a call that comes to its end, with its exit status in the last line."""
    if source is None:
        done = warm.run(folder, arguments)
    else:
        env, command = {**os.environ, "PYTHONPATH": str(source)}, [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, encoding="utf-8")
    return f"{done.stdout}{done.stderr}\nexit {done.returncode}"


def snakemake(folder: Path, *arguments: str, source: Path | None = None) -> str:
    return call(folder, "snakemake", "--cores", "1", *arguments, source=source)


def nothing_to_do(folder: Path) -> bool:
    return "Nothing to be done" in snakemake(folder, "-n", finished_project.TABLE)


def test_a_training_that_diverges_leaves_the_old_run_and_the_table_is_stale(project):
    with_weight(project, 1e38)
    said = snakemake(project, f"{RUN}/weights.safetensors")
    assert "training diverged" in said and said.endswith("exit 1")
    assert "was made with other parameters: hyper.weight" in call(project, "semiseg", "audit", finished_project.TABLE)
    assert "rule train:" in snakemake(project, "-n", f"{RUN}/weights.safetensors"), "the failed job passes for finished"


def test_a_method_that_crashes_leaves_the_old_run_and_its_traceback_in_the_log(project, tmp_path):
    source = finished_project.copy_of_source(tmp_path)
    shutil.copytree(Path(finished_project.semiseg.__file__).parent.parent / "snakemake_logger_plugin_semiseg",
                    source / "snakemake_logger_plugin_semiseg")  # fmt: skip
    method = source / "semiseg/methods/cps.py"
    text = method.read_text(encoding="utf-8")
    method.write_text(
        text.replace("def terms(", "def losses(self, *given):\n        return 1 / 0\n\n    def terms(", 1)
    )
    said = snakemake(project, f"{RUN}/weights.safetensors", source=source)
    assert said.endswith("exit 1") and "Traceback" not in said
    assert re.search(r"^error: \S+/methods/cps\.py, line \d+: ZeroDivisionError: division by zero$", said, re.M)
    log = (project / LOG).read_text(encoding="utf-8")
    assert "Traceback" in log and "ZeroDivisionError: division by zero" in log


def test_a_kill_of_the_job_and_of_snakemake_leaves_the_old_run(project):
    content = finished_project.params()
    content["protocols"]["la_small"]["training"] |= {"iterations": 4000, "validation": None}
    finished_project.write_params(project, content)
    process = kills.start(project, f"{RUN}/weights.safetensors", "--set-resources", "train:checkpoint_seconds=0")
    state = project / "results/state/phantom_mri/la_small/tiny/cps/seed1/state.safetensors"
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    for job in kills.jobs(project):
        job.end()
    process.wait()
    state.unlink()


def test_what_is_only_touched_is_not_believed(project, tmp_path, monkeypatch):
    """Neither by Snakemake, whatever the user's own profile compares, nor by the last command of DVC's stage."""
    with_weight(project, 0.3)
    assert snakemake(project, "--touch", finished_project.TABLE).endswith("exit 0")
    kept = call(project, "semiseg", "keep", "tiny")
    assert kept.endswith("exit 2") and "Traceback" not in kept
    assert f"{finished_project.TABLE} does not belong to params.yaml and the code here (cps: results/runs/" in kept
    assert "was made with other parameters: hyper.weight was 0.2, is 0.3): build it with `snakemake" in kept
    (tmp_path / "config.yaml").write_text("rerun-triggers: [mtime]\n")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path))
    assert snakemake(project, "-n", finished_project.TABLE).count("rule train:") == 2


def test_half_replaced_files_are_made_again(project):
    """As after a kill between the replacement of two files: the notes say finished, the files are of two jobs."""
    history = project / RUN / "history.csv"
    before = history.read_bytes()
    with_weight(project, 0.3)
    history.unlink()
    history.write_bytes(before + b"\n")
    assert snakemake(project, "--touch", f"{RUN}/weights.safetensors").endswith("exit 0")
    finished_project.write_params(project, finished_project.params())
    assert "rule train:" in snakemake(project, "-n", f"{RUN}/weights.safetensors")
    history.write_bytes(before)
