"""What Snakemake shows on the terminal while it runs: one line where a job starts, and one where it ends.

A Snakemake logger plugin, chosen in ``profiles/default/config.yaml``. Warnings and errors are shown in full. The log
file in ``.snakemake/log`` is not changed: it still lists the files, parameters and reasons of every job. A dry run
shows Snakemake's own listing.
"""

import io
import re
import sys
import time
from logging import WARNING, LogRecord
from pathlib import Path
from typing import TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from semiseg.base.errors import UserError
from semiseg.base.progress import ERROR, WHERE
from semiseg.graph.targets import check_target

COMMAND_CHARACTERS = 120  # of a failed job's command, which holds all its parameters; the log file has the whole
CHATTER = (  # messages that have no event of their own and are not about the jobs
    "host: ",
    "Assuming unrestricted shared filesystem usage",
    "Building DAG of jobs",
    "Using shell",
    "Group jobs: inactive",
    "Conda environments: ignored",
    "Singularity containers: ignored",
    "Select jobs to execute",
    "Removing temporary output",
    "Elapsed time",
)
NO_RULE = re.compile(r"No rule to produce (\S+) \(if you use input functions [^)]*\)\.")  # Snakemake's sentence
TRACEBACK = re.compile(rf"^{WHERE}\n(?:.*\n)*?(?={ERROR})", re.M)  # in a job's log; the sentence below it is shown
HIDDEN = (LogEvent.WORKFLOW_STARTED, LogEvent.RESOURCES_INFO, LogEvent.JOB_STARTED)
YELLOW, RED, PLAIN = "\033[33m", "\033[31m", "\033[0m"


class Screen(LogHandlerBase):
    """Writes the lines. Snakemake adds its filter and its formatter, which ``format`` uses."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self._stream: TextIO = sys.stdout if self.common_settings.stdout else sys.stderr
        self._colour = self._stream.isatty() and not self.common_settings.nocolor
        self._names: dict[int, str] = {}  # per job: what is made, as on its line
        self._commands: dict[int, str] = {}
        self._started: dict[int, float] = {}
        self._ended: list[int] = []  # jobs that ended since the last count
        self._count = ""

    def emit(self, record: LogRecord) -> None:
        """Write the record's line, if it has one."""
        try:
            text = self._dry(record) if self.common_settings.dryrun else self._line(record)
            if text:
                text = _with_targets(text)
                self._stream.write(self._coloured(text, record.levelno) + "\n")
                self._stream.flush()
        except OSError:  # nobody reads any more, as after `snakemake -n | head`
            self._stream = io.StringIO()
        except Exception:
            self.handleError(record)

    def _dry(self, record: LogRecord) -> str:
        blank = "\n" if _event(record) == LogEvent.JOB_INFO else ""
        return blank + self.format(record)

    def _line(self, record: LogRecord) -> str:
        event = _event(record)
        if event in HIDDEN or (event is None and record.levelno < WARNING and record.getMessage().startswith(CHATTER)):
            return ""
        if event == LogEvent.RUN_INFO:
            return self._planned(record)
        if event == LogEvent.JOB_INFO:
            return self._begun(record)
        if event == LogEvent.JOB_FINISHED:
            self._ended.append(record.__dict__["job_id"])
            return ""
        if event == LogEvent.PROGRESS:
            return self._counted(record)
        return self._shortened(self.format(record))

    def _planned(self, record: LogRecord) -> str:
        stats = dict(record.__dict__["stats"])
        total = stats.pop("total")
        self._count = f"0/{total}"
        return f"{total} jobs: " + ", ".join(f"{number} {rule}" for rule, number in stats.items())

    def _begun(self, record: LogRecord) -> str:
        job = record.__dict__
        number, wildcards = job["jobid"], job["wildcards"] or {}
        names = "/".join(str(value) for key, value in wildcards.items() if key != "checkpoint")
        self._names[number] = f"{job['rule_name']} {names}{wildcards.get('checkpoint', '')}".strip()
        self._commands[number] = job.get("shellcmd") or ""
        self._started[number] = time.monotonic()
        return f"[{self._count}] start  {self._names[number]}"

    def _counted(self, record: LogRecord) -> str:
        self._count = f"{record.__dict__['done']}/{record.__dict__['total']}"
        lines = []
        for number in self._ended:
            seconds = time.monotonic() - self._started.get(number, time.monotonic())
            took = f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
            lines.append(f"[{self._count}] done   {self._names.get(number, f'job {number}')}, {took}")
        self._ended.clear()
        return "\n".join(lines)

    def _shortened(self, text: str) -> str:
        """The text with the start of each job's command in place of the whole; a traceback with a sentence goes."""
        text = TRACEBACK.sub("", text)
        for command in self._commands.values():
            if len(command) > COMMAND_CHARACTERS:
                text = text.replace(command, f"{command[:COMMAND_CHARACTERS]} ...")
        return text

    def _coloured(self, text: str, level: int) -> str:
        if not self._colour or level < WARNING:
            return text
        return f"{RED if level > WARNING else YELLOW}{text}{PLAIN}"


def _with_targets(text: str) -> str:
    """An error about a file that no rule makes, with the nearest ones that a rule makes; any other text as it is."""
    found = NO_RULE.search(text)
    if found is not None:
        try:
            check_target(Path(found[1]))
        except UserError as error:
            return text.replace(found[0], str(error))
    return text


def _event(record: LogRecord) -> LogEvent | None:
    event: LogEvent | None = getattr(record, "event", None)
    return event
