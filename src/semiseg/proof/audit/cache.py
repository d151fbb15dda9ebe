"""What an audit remembers for a quick one: hashes of files, and rows scored anew. It proves nothing by itself."""

import contextlib
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import write_json
from semiseg.jobs.record import read_plain

FOLDER = Path("results/.audit")


def recall(name: str) -> dict[str, Any]:
    """What was remembered under a name; nothing where that is absent or damaged."""
    with contextlib.suppress(UserError, OSError):
        content = read_plain(FOLDER / f"{name}.json")
        if isinstance(content, dict):
            return content
    return {}


def remember(name: str, content: dict[str, Any]) -> None:
    """Keep this for a later audit; a project that cannot be written to is audited all the same."""
    with contextlib.suppress(UserError, OSError):
        write_json(FOLDER / f"{name}.json", content)
