"""Rule ``weights``: a file of weights that the user has brought with `semiseg import-weights` is here and whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from semiseg.base.errors import UserError
from semiseg.learning.weight_file import as_metadata, from_metadata, written

STANDIN = "standin"


def keep_weights(spec: Mapping[str, Any], out: Path, origin: str) -> None:
    """Check the file; in a rehearsal write one that stands for it, without tensors.

    origin: where the file comes from; empty where params.yaml does not say. Raises UserError where the file is missing,
    with what to do, and where it is damaged or has not the sha256 that params.yaml gives.
    """
    if spec.get(STANDIN):
        with written(out) as temporary:
            save_file({}, temporary, metadata=as_metadata({STANDIN: True}))
        return
    name = spec["name"]
    bring = f"`semiseg import-weights {name} FILE`"
    if not out.exists():
        place = f"it comes from {origin}" if origin else "its authors offer it, where the page of the method says"
        raise UserError(f"no weights {name} are here ({out}): download the file ({place}), then run {bring}")
    try:
        with safe_open(out, framework="numpy") as file:
            note = from_metadata(file.metadata())
    except SafetensorError as error:
        raise UserError(f"{out} is damaged ({error}): bring the file again by {bring}") from None
    found = [one["sha256"] for one in note.get("brought", ())]
    wanted = spec.get("sha256", "")
    if not all(one.startswith(wanted) for one in found):
        raise UserError(
            f"{out} was brought from a file with sha256 {', '.join(found)}, expected {wanted} as weights.{name} of"
            f" params.yaml says: bring that file by {bring}"
        )


def is_standin(note: Mapping[str, Any]) -> bool:
    """Whether the file with this note stands for one of a user, so that random weights take their place."""
    return bool(note.get(STANDIN))
