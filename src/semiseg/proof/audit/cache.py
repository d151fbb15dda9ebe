"""Cache of audits, read by ``--quick``: hashes of files, and rows scored again. It proves nothing by itself."""

import contextlib
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import write_json
from semiseg.jobs.record import read_plain
from semiseg.paths import AUDITED

FOLDER = Path(AUDITED)


def recall(name: str) -> dict[str, Any]:
    """The cached content of a name; empty where its file is absent or damaged."""
    with contextlib.suppress(UserError, OSError):
        content = read_plain(FOLDER / f"{name}.json")
        if isinstance(content, dict):
            return content
    return {}


def remember(name: str, content: dict[str, Any]) -> None:
    """Save content for a later audit. Nothing is saved, and no error raised, where the project cannot be written to."""
    with contextlib.suppress(UserError, OSError):
        write_json(FOLDER / f"{name}.json", content)
