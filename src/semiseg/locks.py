"""One maker at a time: a lock file that knows host, process and cluster job, and is never left to the user."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from semiseg.errors import UserError


@contextlib.contextmanager
def held(path: Path, what: str) -> Iterator[bool]:
    """Hold the lock at ``path`` while ``what`` is made; yields whether another holder had to be waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
    except FileExistsError:
        raise UserError(f"{what} is being made by another process: wait for it") from None
    try:
        yield False
    finally:
        path.unlink(missing_ok=True)
