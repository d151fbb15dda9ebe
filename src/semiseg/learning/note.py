"""The note in a file of weights, as metadata of safetensors. It needs no torch, so that a control writes one too."""

import json
from collections.abc import Mapping
from typing import Any

KEY = "semiseg"


def as_metadata(note: Mapping[str, Any]) -> dict[str, str]:
    """A note as the metadata of a file: one string, because the order of several is not fixed."""
    return {KEY: json.dumps(note, sort_keys=True)}


def from_metadata(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """The note in the metadata of a file; nothing where there is none."""
    note: dict[str, Any] = json.loads((metadata or {}).get(KEY, "{}"))
    return note
