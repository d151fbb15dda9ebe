"""Reading params.yaml: every error names the line, the key path and what is allowed there."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from semiseg.base.errors import UserError
from semiseg.params.config import Params
from semiseg.params.sentences import sentences
from semiseg.params.yaml_1_2 import line_of, load


def parse_params(content: Any, text: str | None = None, origin: str = "params.yaml") -> Params:
    """Typed parameters from the content of a file. Raises UserError naming every wrong key path.

    text: the file that the content stands in, for the lines of the faults; None where it stands in no file.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        faults = sentences(error, content, _schema())
        if text is None:
            raise UserError(f"{origin}: " + "; ".join(sentence for _, sentence in faults)) from None
        lines: dict[tuple[int, tuple[str | int, ...]], str] = {}
        for path, sentence in faults:  # what other entries take over is a fault of one line
            lines.setdefault((line_of(text, path), path[-1:]), sentence)
        listed = (
            f"line {line}: {sentence}" for (line, _), sentence in sorted(lines.items(), key=lambda one: one[0][0])
        )
        raise UserError(f"{origin}, {'; '.join(listed)}") from None


def read(path: Path, changes: Mapping[str, Any] | None = None) -> Params:
    """Read a parameter file. Raises UserError when it is missing or not YAML, and for every wrong key path.

    changes: keys and values in place of the file's, as Snakemake's options ``--config`` and ``--configfile`` give them.
    """
    text = read_text(path)
    content = load(text, str(path))
    if not changes:
        return parse_params(content, text, str(path))
    return parse_params(_merged(content, changes), origin=f"{path} with --config")


def read_text(path: Path) -> str:
    """The text of a parameter file. Raises UserError when it is missing or cannot be read."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file: restore it")
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run from the project's folder") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {error}; save it as UTF-8") from None


def schema_text() -> str:
    """JSON schema of params.yaml, for editors and for other tools; kept in workflow/schemas."""
    return json.dumps(_schema(), indent=1, sort_keys=True) + "\n"


@functools.cache
def _schema() -> dict[str, Any]:
    return Params.model_json_schema()


def _merged(content: Any, changes: Any) -> Any:
    """Content with changes put in, section by section."""
    if not isinstance(content, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {**content, **{key: _merged(content.get(key), value) for key, value in changes.items()}}
