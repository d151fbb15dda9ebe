"""What long work shows: log lines on the terminal and in the job's log file, and its progress with an ETA.

Modules log with ``logging.getLogger(__name__)``; each process decides once, with ``set_up_logging``, where lines go.
Progress is a bar on a terminal. A job that runs beside others (a workflow rule) has a log file and logs lines instead,
so that several jobs can share one screen.
"""

import contextlib
import logging
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from semiseg.base.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

SECONDS_BETWEEN_LINES = 10.0
MB = 1_000_000
IN_THE_LOG = {"in_the_log": True}  # ``extra`` of a record that a job with a log file does not print
ERROR = "error: "  # how the line begins that says why a job failed
WHERE = "Where the error below arose:"  # the line above the traceback of an error that has a sentence

package_logger = logging.getLogger("semiseg")
logger = logging.getLogger(__name__)


class _Terminal(logging.Handler):
    """Prints messages to the ``sys.stderr`` of the moment, which a live progress bar replaces.

    A terminal that is gone or full does not end the job.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "in_the_log", False) and log_file() is not None:
            return
        with contextlib.suppress(OSError):
            print(self.format(record), file=sys.stderr, flush=True)


class _LogFile(logging.FileHandler):
    """Appends messages to a file; a full disk does not end the job because of a line that could not be written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def set_up_logging(file: Path | None = None) -> None:
    """Send every line of this package to the terminal (stderr) and, where one is given, to the end of ``file``.

    A later call replaces an earlier one. Raises UserError when the file cannot be written.
    """
    for handler in [each for each in package_logger.handlers if isinstance(each, _Terminal | _LogFile)]:
        package_logger.removeHandler(handler)
        handler.close()
    package_logger.setLevel(logging.INFO)
    package_logger.addHandler(_Terminal())
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            package_logger.addHandler(_LogFile(file, encoding="utf-8"))
        except OSError as error:
            raise UserError(f"cannot write the log {file} ({error.strerror}): check the folder's permissions") from None


def log_file() -> Path | None:
    """The file to which this process's lines are appended, or None."""
    files = (Path(each.baseFilename) for each in package_logger.handlers if isinstance(each, _LogFile))
    return next(files, None)


class Progress:
    """Progress of ``total`` units of work: ``with Progress("prepare la", 100, "case") as bar: bar.step(loss=0.31)``.

    done: units that an earlier try has finished; the ETA does not count them.
    """

    def __init__(self, what: str, total: int, unit: str = "step", done: int = 0) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, done
        self._start, self._first, self._last = time.monotonic(), done, 0.0
        self._bar: RichBar | None = None

    def __enter__(self) -> Self:
        if log_file() is None and sys.stderr.isatty():
            self._bar = _terminal_bar()
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total, completed=self.done, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, n: int = 1, /, **values: float | str) -> None:
        """Advance by ``n``; ``values`` (loss terms and the like) are shown beside the bar."""
        self.done += n
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=self._note(now, values))
        elif self.done >= self.total or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            percent = 100 * self.done / max(self.total, 1)
            left = self._seconds_left(now)
            logger.info(
                f"{self.what}: {self.done}/{self.total} {self.unit} ({percent:.0f} %), "
                f"ETA {left // 60:.0f}:{left % 60:02.0f} {self._note(now, values)}".rstrip()
            )

    def _rate(self, now: float) -> float:
        return (self.done - self._first) / max(now - self._start, 1e-6)

    def _seconds_left(self, now: float) -> float:
        return (self.total - self.done) / max(self._rate(now), 1e-6)

    def _note(self, now: float, values: dict[str, float | str]) -> str:
        shown = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()]
        return " ".join([f"{self._rate(now):.2f} {self.unit}/s", *shown])


def _terminal_bar() -> "RichBar":
    """A bar with its ETA and a note on the terminal. rich is loaded here, because jobs with a log need no bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True))


class ByteProgress(Progress):
    """Progress counted in bytes and shown in MB; it may go back, as when a transfer starts anew."""

    def __init__(self, what: str, total_bytes: int, done_bytes: int = 0) -> None:
        super().__init__(what, max(1, -(-total_bytes // MB)), "MB", done_bytes // MB)
        self.total_bytes, self.bytes = total_bytes, done_bytes

    def advance(self, count: int, **values: float | str) -> None:
        """Count ``count`` more bytes; the bar moves by whole megabytes, and to its end with the last byte."""
        self.bytes += count
        whole = self.total if count and self.bytes >= self.total_bytes else min(self.bytes // MB, self.total - 1)
        if whole != self.done:
            self.step(whole - self.done, **values)
