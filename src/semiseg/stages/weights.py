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
    name, note = spec["name"], _note(out)
    bring = f"`semiseg import-weights {name} FILE`"
    if spec.get(STANDIN):
        if note is not None and not is_standin(note):
            raise UserError(
                f"{out} was brought by the user, so it is not replaced by a stand-in: remove weights.{name}.standin"
            )
        with written(out) as temporary:
            save_file({}, temporary, metadata=as_metadata({STANDIN: True}))
        return
    if note is None:
        place = f"it comes from {origin}" if origin else "its authors offer it, where the page of the method says"
        raise UserError(f"no weights {name} are here ({out}): download the file ({place}), then run {bring}")
    if is_standin(note):
        raise UserError(f"{out} stands for weights {name} in a rehearsal: bring the file by {bring}")
    if "brought" not in note:
        raise UserError(
            f"{out} was not brought by `semiseg import-weights`, so it is not known: move it, then run {bring}"
        )
    found = [one["sha256"] for one in note["brought"]]
    wanted = spec.get("sha256", "")
    if not all(one.startswith(wanted) for one in found):
        raise UserError(
            f"{out} was brought from a file with sha256 {', '.join(found)}, expected {wanted} as weights.{name} of"
            f" params.yaml says: bring that file by {bring}"
        )


def _note(out: Path) -> dict[str, Any] | None:
    """The note in the file; None where there is none. Raises UserError for one that is damaged."""
    if not out.exists():
        return None
    try:
        with safe_open(out, framework="numpy") as file:
            return from_metadata(file.metadata())
    except SafetensorError as error:
        raise UserError(
            f"{out} is damaged ({error}): bring it again by `semiseg import-weights {out.stem} FILE`"
        ) from None


def is_standin(note: Mapping[str, Any]) -> bool:
    """Whether the file with this note stands for one of a user, so that random weights take their place."""
    return bool(note.get(STANDIN))
