"""Why the rows of a table could not be built: the errors in the logs of the jobs that failed."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from semiseg.base.progress import ERROR


def causes(logs: Mapping[str, str]) -> dict[str, list[str]]:
    """The last error of each log, once, with the rows that it stopped. logs: path of the log by row.

    A job that was killed has no error in its log. A log that cannot be read here gives none either.
    """
    found: dict[str, list[str]] = {}
    for row, log in logs.items():
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
        if errors:
            found.setdefault(errors[-1], []).append(row)
    return found
