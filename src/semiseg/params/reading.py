"""Reading params.yaml: every error names the key path and what is allowed there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from semiseg.base.errors import UserError
from semiseg.params.config import Params


def parse_params(content: Any, origin: str = "params.yaml") -> Params:
    """Typed parameters from what YAML or Snakemake read. Raises UserError naming every wrong key path."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{origin}: " + "; ".join(_sentence(problem) for problem in error.errors())) from None


def read(path: Path) -> Params:
    """Read a parameter file. Raises UserError when it is missing or not YAML."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file: restore it")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run from the project's folder") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore it") from None
    except RecursionError:
        raise UserError(f"{path} is not valid YAML: it is nested too deeply") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    return parse_params(content, str(path))


def schema_text() -> str:
    """JSON schema of params.yaml, for editors and for other tools; kept in workflow/schemas."""
    return json.dumps(Params.model_json_schema(), indent=1, sort_keys=True) + "\n"


def _sentence(problem: Any) -> str:
    """One of pydantic's errors as a sentence: key path, what is allowed, what was found."""
    path = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"{path} is not a known key (allowed there: {', '.join(_allowed(problem['loc'])) or 'nothing'})"
    if problem["type"] == "missing":
        return f"{path} is missing"
    found = "" if isinstance(problem.get("input"), Mapping) else f", found {problem.get('input')!r}"
    return f"{path}: {problem['msg']}{found}"


def _allowed(path: tuple[str | int, ...]) -> list[str]:
    """Keys that the schema allows beside the last part of a key path."""
    schema: Any = Params.model_json_schema()
    definitions = schema["$defs"]
    for part in path[:-1]:
        schema = _step_into(schema, part, definitions)
    return sorted(_resolved(schema, definitions).get("properties", {}))


def _resolved(schema: Any, definitions: Any) -> Any:
    for option in [schema, *schema.get("anyOf", [])]:
        if "$ref" in option:
            return definitions[option["$ref"].rsplit("/", 1)[-1]]
    return schema


def _step_into(schema: Any, part: str | int, definitions: Any) -> Any:
    schema = _resolved(schema, definitions)
    mapping = schema.get("discriminator", {}).get("mapping", {})
    if part in mapping:
        return {"$ref": mapping[part]}
    if isinstance(part, int):
        return schema.get("items", {})
    named = schema.get("properties", {}).get(part) or next(iter(schema.get("patternProperties", {}).values()), None)
    additional = schema.get("additionalProperties")
    return named or (additional if isinstance(additional, dict) else {})
