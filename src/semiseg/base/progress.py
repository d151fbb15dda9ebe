"""Progress of long work: a bar with ETA on a terminal, plain lines in logs.

A job that runs beside others (a workflow rule) writes lines, so that several jobs can share one screen.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichBar

SECONDS_BETWEEN_LINES = 10.0
MB = 1_000_000

_log: TextIO | None = None


def log_to(path: Path | None) -> None:
    """Add every line to a log file as well, after those of an earlier try; lines are printed, not a live bar."""
    global _log
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _log = path.open("a", encoding="utf-8", buffering=1)


def say(text: str, fit: bool = False) -> None:
    """Print one line to the terminal and to the log. ``fit``: a terminal shows as much of it as fits its width."""
    width = shutil.get_terminal_size().columns if fit and sys.stderr.isatty() else len(text)
    print(text if len(text) <= width else f"{text[: width - 1]}…", file=sys.stderr, flush=True)
    if _log is not None:
        print(text, file=_log)


def some(names: Sequence[str], count: int = 10) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"


class Progress:
    """``with Progress("prepare la", total=100, unit="case") as bar: bar.step(loss=0.31)``."""

    def __init__(self, what: str, total: int, unit: str = "step", done: int = 0) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, done
        self._start, self._first, self._last = time.monotonic(), done, 0.0
        self._bar: RichBar | None = None

    def __enter__(self) -> Self:
        if _log is None and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = RichBar(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True))
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
            share = 100 * self.done / max(self.total, 1)
            left = self._seconds_left(now)
            say(
                f"{self.what}: {self.done}/{self.total} {self.unit} ({share:.0f} %), "
                f"ETA {left // 60:.0f}:{left % 60:02.0f} {self._note(now, values)}".rstrip(),
                fit=True,
            )

    def _rate(self, now: float) -> float:
        return (self.done - self._first) / max(now - self._start, 1e-6)

    def _seconds_left(self, now: float) -> float:
        return (self.total - self.done) / max(self._rate(now), 1e-6)

    def _note(self, now: float, values: dict[str, float | str]) -> str:
        shown = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()]
        return " ".join([f"{self._rate(now):.2f} {self.unit}/s", *shown])


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
