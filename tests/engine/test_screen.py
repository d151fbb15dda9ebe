"""The lines of a running workflow: one per start and end of a job, errors in full, dry runs as Snakemake lists them."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from semiseg.base.progress import WHERE
from semiseg.engine.screen import COMMAND_CHARACTERS, Screen

COMMAND = "semiseg train --spec " + "x" * 3000


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    return new_screen(dryrun=False)


def new_screen(dryrun: bool) -> Screen:
    handler = Screen(SimpleNamespace(stdout=False, nocolor=True, dryrun=dryrun), None)
    handler.setFormatter(logging.Formatter("snakemake: %(message)s"))
    return handler


def log(screen: Screen, text: str, level: int = logging.INFO, event: LogEvent | None = None, **fields: object) -> None:
    record = logging.LogRecord("snakemake", level, __file__, 1, text, None, None)
    record.__dict__ |= {"event": event, **fields}
    screen.handle(record)


def begin(screen: Screen, number: int, rule: str, **wildcards: str) -> None:
    fields = {"jobid": number, "rule_name": rule, "wildcards": wildcards, "shellcmd": COMMAND}
    log(screen, f" Rule: {rule}, Jobid: {number}", event=LogEvent.JOB_INFO, **fields)


def end(screen: Screen, *numbers: int, done: int) -> None:
    for number in numbers:
        log(screen, f"Finished jobid: {number}", event=LogEvent.JOB_FINISHED, job_id=number)
    log(screen, "", event=LogEvent.PROGRESS, done=done, total=3)


def lines(screen: Screen) -> list[str]:
    return screen._stream.getvalue().splitlines()


def test_a_job_has_one_line_at_its_start_and_one_at_its_end(screen):
    log(screen, "Job stats: ...", event=LogEvent.RUN_INFO, stats={"train": 2, "table": 1, "total": 3})
    begin(screen, 7, "train", dataset="la", method="mt")
    log(screen, "Execute 1 jobs...", event=LogEvent.JOB_STARTED)
    log(screen, "Select jobs to execute...")
    end(screen, 7, done=1)
    assert lines(screen) == ["3 jobs: 2 train, 1 table", "[0/3] start  train la/mt", "[1/3] done   train la/mt, 0:00"]


def test_jobs_of_a_group_end_together(screen):
    begin(screen, 1, "evaluate", method="mt")
    begin(screen, 2, "row")
    end(screen, 1, 2, done=2)
    assert lines(screen)[2:] == ["[2/3] done   evaluate mt, 0:00", "[2/3] done   row, 0:00"]


def test_errors_and_warnings_are_whole_but_for_the_parameters_in_a_command(screen):
    begin(screen, 1, "train", method="mt")
    log(screen, f"Error in rule train, log: a.log, shell: {COMMAND} failed", logging.ERROR, LogEvent.JOB_ERROR)
    log(screen, "Using shell nobody knows", logging.WARNING)
    assert lines(screen)[1:] == [
        f"snakemake: Error in rule train, log: a.log, shell: {COMMAND[:COMMAND_CHARACTERS]} ... failed",
        "snakemake: Using shell nobody knows",
    ]


def test_a_traceback_that_has_a_sentence_is_left_to_the_log(screen):
    trace = "Traceback (most recent call last):\n  File x.py\nKeyError: 1"
    shown = f"Logfile a.log:\n====\ndevice: CPU\n{{}}error: x.py, line 1: KeyError: 1\n====\nLogfile b.log:\n{trace}"
    log(screen, shown.format(f"{WHERE}\n{trace}\n\n{trace}\n"), logging.ERROR, LogEvent.JOB_ERROR)
    assert lines(screen) == f"snakemake: {shown.format('')}".splitlines()


def test_what_is_not_known_to_be_chatter_is_shown(screen):
    log(screen, "Building DAG of jobs...")
    log(screen, "Nothing to be done (all requested files are present and up to date).")
    assert lines(screen) == ["snakemake: Nothing to be done (all requested files are present and up to date)."]


def test_a_dry_run_is_listed_by_snakemake(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    screen = new_screen(dryrun=True)
    begin(screen, 1, "train", method="mt")
    log(screen, "Building DAG of jobs...")
    assert lines(screen) == ["", "snakemake:  Rule: train, Jobid: 1", "snakemake: Building DAG of jobs..."]


def test_a_closed_terminal_ends_the_lines_and_nothing_else(screen):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    screen._stream = Closed()
    begin(screen, 1, "row")
    end(screen, 1, done=1)
    assert len(lines(screen)) == 1
