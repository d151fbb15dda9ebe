"""A file of weights by safetensors, and the note in it. It needs no torch, so that a control writes one too."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from semiseg.base.files import atomic

KEY = "semiseg"


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """The temporary path of a file that safetensors writes. Raises UserError as ``files.atomic`` does."""
    with atomic(path) as temporary:
        try:
            yield temporary
        except SafetensorError as error:
            raise OSError(str(error)) from error  # ``atomic`` recognises a full disk by these words


def as_metadata(note: Mapping[str, Any]) -> dict[str, str]:
    """A note as the metadata of a file: one string, because the order of several is not fixed."""
    return {KEY: json.dumps(note, sort_keys=True)}


def from_metadata(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """The note in the metadata of a file; nothing where there is none."""
    note: dict[str, Any] = json.loads((metadata or {}).get(KEY, "{}"))
    return note
