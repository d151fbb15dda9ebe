"""What pydantic finds wrong in a parameter file, in our words: where, what was expected, what was found."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from semiseg.base.names import guess
from semiseg.params.kinds import NAME, PATTERNS

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]
KEY = "[key]"  # how pydantic ends the location of a key
SHOWN = 60  # characters of a value that a sentence shows


def sentences(error: ValidationError, content: Any, schema: Schema) -> list[tuple[Path, str]]:
    """A key path and a sentence for each fault of ``content``, which ``schema`` describes."""
    found: dict[Path, str] = {}
    keys = set()
    for problem in error.errors():
        path = _path(problem["loc"], content, problem["type"])
        if problem["loc"][-1:] == (KEY,):
            keys.add(path)
        if path not in found or problem["type"] == "finite_number":  # the most exact fault of a value
            found[path] = _sentence(problem, path, content, schema)
    inner = {path[:length] for path in found for length in range(len(path))} - keys
    return [(path, text) for path, text in found.items() if path not in inner]  # of a union: the nearest alternative


def type_in_words(field: Schema) -> str:
    """What a schema allows, in words; ``|`` stands between the allowed words."""
    if "const" in field:
        return f"`{plain(field['const'])}`"
    if "enum" in field:
        return " | ".join(f"`{plain(value)}`" for value in field["enum"])
    parts = [part for part in (*field.get("anyOf", ()), *field.get("oneOf", ())) if part.get("type") != "null"]
    if parts:
        return " or ".join(dict.fromkeys(map(type_in_words, parts)))
    if "$ref" in field:
        return "section"
    match field.get("type"):
        case "integer":
            return "whole number" + _bounds(field)
        case "number":
            return "number" + _bounds(field)
        case "boolean":
            return "true or false"
        case "array" if "prefixItems" in field:
            return f"{len(field['prefixItems'])} x {type_in_words(field['prefixItems'][0])}"
        case "array":
            return f"list of {_plural(type_in_words(field['items']))}"
        case "object":
            return "section per name" if "properties" not in field else "section"
    return PATTERNS.get(field.get("pattern", ""), "text")


def plain(value: Any) -> str:
    """A value as YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _plural(words: str) -> str:
    return re.sub(r"(^|or )(section|whole number|number|name|id|text)\b(?! per)", r"\1\2s", words)


def _bounds(field: Schema) -> str:
    signs = {"exclusiveMinimum": "> ", "minimum": ">= ", "exclusiveMaximum": "< ", "maximum": "<= "}
    found = [f"{sign}{field[key]:.10g}" for key, sign in signs.items() if key in field and field[key] < 2**53]
    return f" {', '.join(found)}" if found else ""


def _path(location: Sequence[str | int], content: Any, kind: str) -> Path:
    """The key path in the file; pydantic's location also holds names of types and of alternatives."""
    path: list[str | int] = []
    for part in location:
        held = range(len(content)) if isinstance(content, list | tuple) else content
        if isinstance(held, Mapping | range) and part in held:
            content = content[part]
        elif not (kind == "missing" and part == location[-1]):
            continue
        path.append(part)
    return tuple(path)


def _sentence(problem: Any, path: Path, content: Any, schema: Schema) -> str:
    name, location = ".".join(map(str, path)) or "the file", problem["loc"]
    match problem["type"]:
        case "extra_forbidden":
            allowed = sorted(_section(schema, location[:-1]).get("properties", {}))
            near = guess(str(path[-1]), allowed)
            return f"{name} is not a known key{near} (allowed there: {', '.join(allowed) or 'nothing'})"
        case "missing":
            return f"{name} is missing: expected {_expected(schema, location)}"
        case "value_error":
            return f"{name}: {problem['ctx']['error']}"
        case "union_tag_not_found":
            return f"{name}.{_tag(problem)} is missing: expected one of {', '.join(_tags(schema, location))}"
        case "union_tag_invalid":
            tag, known = problem["ctx"]["tag"], _tags(schema, location)
            return (
                f"{name}.{_tag(problem)}: unknown {_tag(problem)} {tag!r}; known: {', '.join(known)}{guess(tag, known)}"
            )
    if location[-1:] == (KEY,):
        return f"{name}: expected a {PATTERNS[NAME]} as the key: rename it, or put it in quotes"
    expected, value = _expected(schema, location), _value(content, path)
    if problem["type"] == "finite_number":
        return f"{name}: expected a finite number, found {_shown(value)}"
    if problem["type"] in ("too_short", "too_long"):
        context = problem["ctx"]
        limit = f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']}"
        entries = "entry" if limit.endswith(" 1") else "entries"
        return f"{name}: expected {expected} with {limit} {entries}, found {context['actual_length']}"
    quotes = ": put it in quotes" if problem["type"] == "string_type" and isinstance(value, int | float) else ""
    return f"{name}: expected {expected}, found {_shown(value)}{quotes}"


def _expected(schema: Schema, location: Sequence[str | int]) -> str:
    """What the schema allows at a location, with an article where the words begin with a noun."""
    words = type_in_words(_at(schema, location))
    noun = words.split()[0] in ("whole", "number", "section", "name", "id", "list")
    return f"{'an' if words.startswith('id') else 'a'} {words}" if noun else words


def _tag(problem: Any) -> str:
    """The key that names which of several kinds a section is."""
    return str(problem["ctx"]["discriminator"]).strip("'")


def _tags(schema: Schema, location: Sequence[str | int]) -> list[str]:
    return list(_at(schema, location).get("discriminator", {}).get("mapping", {}))


def _value(content: Any, path: Path) -> Any:
    for part in path:
        content = content[part]
    return content


def _shown(value: Any) -> str:
    """A value that was found; of a section or of a long text only what fits a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a section"
    text = repr(value) if isinstance(value, str) else f"[{plain(value)}]" if isinstance(value, list) else plain(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _section(schema: Schema, location: Sequence[str | int]) -> Schema:
    """The schema of the section at pydantic's location."""
    return next((one for one in _alternatives(_at(schema, location), schema) if "properties" in one), {})


def _at(schema: Schema, location: Sequence[str | int]) -> Schema:
    """The schema of the value at pydantic's location, which also names types and alternatives."""
    place = schema
    for part in location:
        steps = (_step(one, part) for one in _alternatives(place, schema))
        place = next((found for found in steps if found is not None), place)
    return place


def _alternatives(place: Schema, schema: Schema) -> Iterator[Schema]:
    """A place of the schema and all that it may be, with references followed."""
    yield place
    if "$ref" in place:
        yield from _alternatives(schema.get("$defs", {})[place["$ref"].rpartition("/")[2]], schema)
    for option in (*place.get("anyOf", ()), *place.get("oneOf", ())):
        yield from _alternatives(option, schema)


def _step(place: Schema, part: str | int) -> Schema | None:
    kinds = place.get("discriminator", {}).get("mapping", {})
    if part in kinds:
        return {"$ref": kinds[part]}
    if isinstance(part, int):
        fixed = place.get("prefixItems", ())
        return fixed[part] if part < len(fixed) else place.get("items") or None
    if part in place.get("properties", {}):
        return place["properties"][part]  # type: ignore[no-any-return]
    named = [*place.get("patternProperties", {}).values(), place.get("additionalProperties")]
    return next((one for one in named if isinstance(one, Mapping)), None)
