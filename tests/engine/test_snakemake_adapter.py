"""Snakemake's undocumented parts: where one is missing, the workflow goes on with one warning."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.persistence.file import FilePersistence
from support import project_folder
from support.snakemake_project import tiny_params

from semiseg.engine import snakemake_adapter as adapter
from semiseg.engine import snakemake_requests
from semiseg.engine.snakemake_adapter import FinishedJob, JobHistory, UnavailableError

TARGET = "data/splits/phantom_mri/tiny.json"
WARNING = "finished jobs are judged by time alone"
JOB = FinishedJob("split", {"a.json": "sha256:00"}, ("{}",), "semiseg split", 1.0, 2.0)
# The content of sitecustomize.py, which Python runs when it starts. It imitates a release of Snakemake that has moved a
# module: Snakemake's own imports find it, those of semiseg fail.
MOVED = """
import builtins
ordinary = builtins.__import__

def moved(name, globals=None, *arguments, **options):
    if name == "snakemake.persistence.file" and globals and globals["__name__"].startswith("semiseg."):
        raise ImportError("No module named 'snakemake.persistence.file'")
    return ordinary(name, globals, *arguments, **options)

builtins.__import__ = moved
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with the real workflow; nothing is built in it."""
    return project_folder.new(tmp_path_factory.mktemp("project"), tiny_params())


def call(project: Path, *arguments: str, path: str = "") -> str:
    """Output of a successful call of Snakemake without ``--cores``; path: the first folder in which Python looks."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)}
    command = [sys.executable, "-m", "snakemake", *arguments]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def jobs(output: str) -> list[str]:
    """The jobs of a dry run: rule, files, wildcards and resources of each."""
    blocks = re.findall(r"^(?:local)?rule (\w+:\n(?:    .*\n)+)", output, re.M)
    # the numbers and reasons of jobs come in no fixed order
    return sorted("\n".join(re.sub(r"^    (?:jobid|reason): .*\n", "", block, flags=re.M).split()) for block in blocks)


def test_a_moved_module_costs_one_warning_for_each_use_and_no_job(project, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(MOVED, encoding="utf-8")
    usual, moved = call(project, "-n", TARGET), call(project, "-n", TARGET, path=str(tmp_path))
    assert WARNING not in usual
    assert moved.count(WARNING) == moved.count("finished files are removed before they are made anew") == 1
    assert moved.count("other inner parts than 9.27") == 2
    assert "Traceback" not in moved
    assert len(jobs(usual)) == 2 and jobs(moved) == jobs(usual)


def test_both_snakefiles_plan_the_same_jobs(project):
    bare = call(project, "-n")
    assert "workflow specific profile profiles/default" in bare
    assert len(jobs(bare)) > 20 and bare.count("rule demo:") == 1
    inner = call(project, "-n", "--snakefile", "workflow/Snakefile")
    assert inner.count("rule all:") == 1
    assert jobs(inner.replace("rule all:", "rule demo:")) == jobs(bare)


def test_a_target_is_built_without_a_number_of_cores(project):
    call(project, TARGET)
    newest = max((project / ".snakemake/log").glob("*.log"))
    assert f"Provided cores: {os.cpu_count()}" in newest.read_text(encoding="utf-8")
    assert (project / TARGET).exists()


@pytest.mark.parametrize(
    "question",
    [
        adapter.is_main_call,
        adapter.will_run_jobs,
        adapter.locks_its_folder,
        adapter.forced_rules,
        adapter.only_reports,
        adapter.submits_to_slurm,
        adapter.is_slurm_step,
        adapter.slurm_status_settings,
        adapter.enters_conda,
        adapter.shell_commands,
        snakemake_requests.last_requests,
        adapter.unbuilt_tables,
    ],
)
def test_a_missing_part_is_reported_as_unavailable(question):
    with pytest.raises(UnavailableError, match=r"other inner parts than 9\.27 \(.* has no attribute"):
        question(SimpleNamespace())


def test_a_row_says_whether_its_job_was_started_and_names_no_log_that_is_not_there(tmp_path):
    """As after a call that was interrupted: one job failed, one was ended before its log, one still waited."""

    def job(rule, name, log="none.log"):
        names = SimpleNamespace(method=name, table="toy")
        return Job(rule=SimpleNamespace(name=rule), log=[log], wildcards=names, output=[f"results/toy/{name}.csv"])

    class Job(SimpleNamespace):
        __hash__ = object.__hash__

    (tmp_path / "cps.log").touch()
    jobs = [job("train", "cps", str(tmp_path / "cps.log")), job("train", "mt"), job("evaluate", "dtc")]
    rows = [job("row", each.wildcards.method) for each in jobs]
    table, ready = job("table", ""), job("row", "sup_only")
    needs = {table: [ready, *rows], **{row: [each] for row, each in zip(rows, jobs, strict=True)}, ready: []}
    dag = SimpleNamespace(
        needrun_jobs=lambda: [table, *rows, *jobs], dependencies={**needs, **{each: [] for each in jobs}}
    )
    scheduler = SimpleNamespace(failed={jobs[0]}, running={jobs[1]})
    (unbuilt,) = adapter.unbuilt_tables(SimpleNamespace(dag=dag, scheduler=scheduler))
    assert unbuilt.ready == {"sup_only": "results/toy/sup_only.csv"}
    assert unbuilt.failed == {
        "cps": f"train did not finish, see {tmp_path / 'cps.log'}",
        "mt": "train did not finish",
        "dtc": "evaluate was not started",
    }
    assert unbuilt.logs == {"cps": str(tmp_path / "cps.log"), "mt": "none.log"}


def test_conda_is_told_from_other_ways_to_deploy():
    from snakemake.settings.types import DeploymentMethod

    for methods, enters in (({DeploymentMethod.CONDA, DeploymentMethod.APPTAINER}, True), (set(), False)):
        settings = SimpleNamespace(deployment_method=methods)
        assert adapter.enters_conda(SimpleNamespace(deployment_settings=settings)) is enters


def test_outputs_are_kept_only_where_the_notes_can_be_mended(monkeypatch):
    from snakemake.jobs import Job

    for name in ("remove_existing_output", "cleanup"):
        monkeypatch.setattr(Job, name, getattr(Job, name))  # to be restored
    monkeypatch.setattr("snakemake.persistence.RECORD_FORMAT_VERSION", adapter.FORMAT + 1)
    before = Job.remove_existing_output
    with pytest.raises(UnavailableError):
        adapter.keep_outputs()
    assert Job.remove_existing_output is before


def test_what_depends_on_the_single_job_is_no_request():
    from snakemake.resources import Resources

    def minutes(wildcards, attempt):
        return 60 * attempt

    def by_input(wildcards, input):
        return input[0].size

    given = {"_cores": 2, "runtime": minutes, "mem_mb": by_input}
    rule = SimpleNamespace(name="train", resources=Resources.from_mapping(given))
    settings = SimpleNamespace(retries=2)
    workflow = SimpleNamespace(execution_settings=settings, rules=[rule], is_local=lambda rule: False)
    request = snakemake_requests.last_requests(workflow)["train"]
    assert request == dict.fromkeys(snakemake_requests.RESOURCES) | {"runtime": 180}


def test_a_finished_job_is_noted_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    JobHistory().write("out.json", JOB)
    (noted,) = Path(".snakemake/metadata").iterdir()
    stamp = noted.stat().st_mtime_ns
    JobHistory().write("out.json", JOB)
    assert noted.stat().st_mtime_ns == stamp
    record = FilePersistence(nolock=True, path=Path(".snakemake"))._read_record("out.json")
    assert (record.rule, record.input, record.input_checksums) == ("split", ["a.json"], JOB.checksums)
    assert (record.params, record.code, record.starttime) == (["'{}'"], "semiseg split", 1.0)


@pytest.mark.parametrize("change", ["no method", "other arguments", "other format"])
def test_a_changed_bookkeeping_is_reported_as_unavailable(change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if change == "no method":
        for kind in (FilePersistence, FilePersistence.__base__):
            monkeypatch.delattr(kind, "_write_record")
    elif change == "other arguments":
        monkeypatch.setattr(FilePersistence, "_read_record", lambda self, key, version: None)
    else:
        monkeypatch.setattr("snakemake.persistence.RECORD_FORMAT_VERSION", adapter.FORMAT + 1)
    with pytest.raises(UnavailableError, match="this version of Snakemake"):
        JobHistory().write("out.json", JOB)
