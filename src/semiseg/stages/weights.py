"""Rule ``weights``: a file of weights that the user has brought with `semiseg import-weights` is here and whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from semiseg.base.errors import UserError


def keep_weights(spec: Mapping[str, Any], out: Path) -> None:
    """Check the file. Raises UserError where it is missing, with what to do, and where it is damaged."""
    name = spec["name"]
    bring = f"`semiseg import-weights {name} FILE`"
    if not out.exists():
        raise UserError(
            f"no weights {name} are here ({out}): they are the authors' own, so download their file from where the"
            f" page of the method says (`semiseg describe METHOD`), then run {bring}"
        )
    try:
        with safe_open(out, framework="numpy"):
            pass
    except SafetensorError as error:
        raise UserError(f"{out} is damaged ({error}): bring the file again by {bring}") from None
