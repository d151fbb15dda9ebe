"""Every use of what Snakemake does not document, but for resources (``snakemake_requests``): notes, graph, settings.

Snakemake may change these parts in any release. Where one is missing or takes other arguments, the functions here raise
``UnavailableError``, and the workflow goes on without what it wanted to know. Everything else that the workflow uses is
in Snakemake's manual. Written for Snakemake 9.27.
"""

import contextlib
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semiseg.base.files import stamp

FORMAT = 6  # of Snakemake's metadata, as `FinishedJob` fills it in


class UnavailableError(Exception):
    """A part of Snakemake that this module uses is missing, has changed, or cannot be used here."""


@contextlib.contextmanager
def undocumented() -> Iterator[None]:
    """Turn what a changed interface raises into ``UnavailableError``. Also serves as a decorator."""
    try:
        yield
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        raise UnavailableError(f"this version of Snakemake has other inner parts than 9.27 ({error})") from error


# --- the call --------------------------------------------------------------------------------------------------------


@undocumented()
def is_main_call(workflow: Any) -> bool:
    """Whether this process is the call that a user made, and not the inner call that runs one job."""
    return bool(workflow.is_main_process)


@undocumented()
def will_run_jobs(workflow: Any) -> bool:
    """Whether this process plans and runs jobs: a user's call, but no dry run. Settled only once planning begins."""
    return bool(workflow.is_main_process and workflow.executor_plugin is not None and not workflow.dryrun)


@undocumented()
def only_reports(workflow: Any) -> bool:
    """Whether the call writes a report (``--report``), so that it has no settings for running jobs."""
    return workflow.execution_settings is None


@undocumented()
def forced_rules(workflow: Any) -> set[str] | None:
    """Rules that the user's call makes anew by ``--forcerun``; None where it forces other jobs than those of rules."""
    settings = workflow.dag_settings
    named = set(settings.forcerun)
    known = {rule.name for rule in workflow.rules}
    return None if settings.forceall or settings.forcetargets or named - known else named


@undocumented()
def locks_its_folder(workflow: Any) -> bool:
    """Whether the call keeps others out of its folder, as it does without ``--nolock``."""
    return bool(workflow.execution_settings.lock)


@undocumented()
def submits_to_slurm(workflow: Any) -> bool:
    """Whether the jobs of this call go to SLURM."""
    return _executor(workflow) == "slurm"


@undocumented()
def is_slurm_step(workflow: Any) -> bool:
    """Whether this process starts one job as a step of a SLURM job, on the node that SLURM chose."""
    return _executor(workflow) == "slurm-jobstep"


def _executor(workflow: Any) -> str | None:
    """Name of what runs the jobs of this process; None where it only answers a question."""
    plugin = workflow.executor_plugin
    return None if plugin is None else str(plugin.name)


@undocumented()
def slurm_status_settings(workflow: Any) -> tuple[str | None, int]:
    """The plugin's settings slurm-status-command and slurm-init-seconds-before-status-checks."""
    settings = workflow.executor_settings
    return settings.status_command, settings.init_seconds_before_status_checks


@undocumented()
def enters_conda(workflow: Any) -> bool:
    """Whether jobs enter the conda environment of their rule (``--sdm conda``)."""
    from snakemake.settings.types import DeploymentMethod

    return DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method


@undocumented()
def shell_commands(workflow: Any) -> dict[str, str]:
    """The shell command of each rule, as the rule states it."""
    return {rule.name: rule.shellcmd for rule in workflow.rules}


@undocumented()
def targets(workflow: Any) -> list[str]:
    """The files that a call asks for, and the inputs of the rules that it asks for by name."""
    dag = workflow.dag
    return [str(path) for path in (*dag.targetfiles, *(path for rule in dag.targetrules for path in rule.input))]


@undocumented()
def keep_outputs() -> None:
    """Let the files of a finished job stay until a new job of the same name has replaced them.

    Snakemake removes them before the new job begins, and again after it has failed. The jobs of this workflow replace
    files only when the new ones are whole, so they need neither. Logs are removed before a job as ever. Nor does a job
    need to write into the old files, which DVC makes read-only and which may be another user's. Raises
    UnavailableError where Snakemake's notes cannot be mended (``JobHistory``), because it notes a failed job like a
    finished one: the old files would then pass for new ones.
    """
    from snakemake.jobs import Job

    JobHistory()

    async def remove_logs(self: Any) -> None:
        for path in self.log:
            await path.remove(remove_non_empty_dir=False)

    async def remove_nothing(self: Any, skip_outputs: Collection[Any]) -> None:
        pass

    async def allow_read_only(self: Any) -> None:
        pass

    replacements: dict[str, Callable[..., Any]] = {
        "remove_existing_output": remove_logs,
        "cleanup": remove_nothing,
        "check_protected_output": allow_read_only,
    }
    for name, replacement in replacements.items():
        if inspect.signature(getattr(Job, name)).parameters.keys() != inspect.signature(replacement).parameters.keys():
            raise UnavailableError(f"this version of Snakemake has another Job.{name} than 9.27")
        setattr(Job, name, replacement)


# --- the graph -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UnbuiltTable:
    """A table that a call did not build.

    ready: path of each finished row by method. failed: reason by method. logs: path by method of the log of the job
    that was begun and did not finish.
    """

    table: str
    ready: Mapping[str, str]
    failed: Mapping[str, str]
    logs: Mapping[str, str]


@undocumented()
def unbuilt_tables(workflow: Any) -> list[UnbuiltTable]:
    """The tables that were planned and not built, at the end of a call that failed."""
    dag, scheduler = workflow.dag, workflow.scheduler
    unfinished, started = set(dag.needrun_jobs()), scheduler.failed | scheduler.running
    return [_unbuilt_table(dag, job, unfinished, started) for job in unfinished if job.rule.name == "table"]


def _unbuilt_table(dag: Any, table: Any, unfinished: set[Any], started: set[Any]) -> UnbuiltTable:
    rows = [job for job in dag.dependencies[table] if job.rule.name == "row"]
    ready = {row.wildcards.method: str(row.output[0]) for row in rows if row not in unfinished}
    culprits = {row.wildcards.method: _first_unfinished(dag, row, unfinished) for row in rows if row in unfinished}
    failed = {method: _why_unfinished(job, started) for method, job in culprits.items()}
    logs = {method: str(job.log[0]) for method, job in culprits.items() if job in started}
    return UnbuiltTable(table.wildcards.table, ready, failed, logs)


def _why_unfinished(job: Any, started: set[Any]) -> str:
    """Whether the job was begun by this call, and its log where it wrote one."""
    if job not in started:
        return f"{job.rule.name} was not started"
    log = str(job.log[0])
    return f"{job.rule.name} did not finish" + (f", see {log}" if Path(log).exists() else "")


def _first_unfinished(dag: Any, job: Any, unfinished: set[Any]) -> Any:
    """The first job of the chain before this one that did not finish; the job itself where all before it did."""
    before = next((each for each in dag.dependencies[job] if each in unfinished), None)
    return job if before is None else _first_unfinished(dag, before, unfinished)


# --- the bookkeeping -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FinishedJob:
    """A finished job as Snakemake notes it. checksums: by path of each input; times in seconds since 1970."""

    rule: str
    checksums: Mapping[str, str]
    params: tuple[str, ...]
    code: str | None
    start: float
    end: float


class JobHistory:
    """Snakemake's notes on finished jobs, one per output file, in the current folder."""

    @undocumented()
    def __init__(self) -> None:
        from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
        from snakemake.persistence.file import FilePersistence

        if RECORD_FORMAT_VERSION != FORMAT:
            raise UnavailableError(
                f"this version of Snakemake writes metadata of format {RECORD_FORMAT_VERSION}, not {FORMAT}"
            )
        self._record_class = MetadataRecord
        self._files = FilePersistence(nolock=True, path=Path(".snakemake"))

    @undocumented()
    def write(self, output: str, job: FinishedJob) -> None:
        """Note that this output was made by this job, unless Snakemake has noted that already."""
        record = self._record_class(
            record_format_version=FORMAT,
            rule=job.rule,
            input=sorted(job.checksums),
            params=sorted(repr(text) for text in job.params),
            code=job.code,
            input_checksums=dict(job.checksums),
            starttime=job.start,
            endtime=job.end,
            incomplete=False,
        )
        known = self._files._read_record(output)
        if known is None or _compared(known) != _compared(record):
            self._files._write_record(output, record)

    @undocumented()
    def stamps(self, outputs: Iterable[str]) -> dict[str, list[int] | None]:
        """The ``files.stamp`` of the note on each output."""
        return {output: stamp(self._files._record_path(self._files._metadata_path, output)) for output in outputs}

    @undocumented()
    def any_unfinished(self, outputs: Iterable[str]) -> bool:
        """Whether a job that makes one of these outputs has begun and not ended, as after a kill."""
        return bool(self._files._filter_incomplete_keys(outputs))

    @undocumented()
    def set_finished(self, outputs: Iterable[str], finished: bool) -> None:
        """Note that the job of these outputs has ended, or that it has not, so that Snakemake makes them again."""
        for output in outputs:
            if finished:
                self._files._unmark_incomplete(output)
            else:
                self._files._mark_incomplete(output, None)


def _compared(record: Any) -> tuple[Any, ...]:
    """What Snakemake compares with a planned job. The shell command is left out, because no lineage record has it."""
    return record.rule, record.input, record.params, record.input_checksums
