"""YAML as DVC reads and writes it, by version 1.2, with every key given once.

PyYAML follows version 1.1. It takes ``1e-05`` for text, ``1:30`` for 90, ``010`` for 8 and ``no`` for false, and of a
key that is given twice it keeps the last value without a word.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import yaml

from semiseg.base.errors import UserError

# Chapter 10.3.2 of the standard, and underscores between digits, which DVC's reader takes too.
FLOAT = r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+", "-+0123456789"),
    ("float", rf"{FLOAT}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+.0123456789"),
    ("merge", "<<", "<"),  # of version 1.1, which DVC takes too: entries inherit by it
)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads the scalars of version 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Puts texts in quotes that version 1.2 would read as something else."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _tag, _pattern, _first in SCALARS:
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}",
            re.compile(f"^(?:{_pattern})$"),
            [*_first, *([""] if _tag == "null" else [])],
        )


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    """A whole number; leading zeros do not make it octal."""
    text = str(loader.construct_scalar(node)).replace("_", "")
    prefixes = {"0o": 8, "0x": 16}
    return int(text, prefixes.get(text[:2], 10))


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    """A number with a point or an exponent, infinite or not a number."""
    text = str(loader.construct_scalar(node)).lower().replace("_", "")
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def load(text: str, origin: str) -> Any:
    """The content of a YAML text. Raises UserError where it is not YAML, or where a key is given twice.

    origin: the name of the file, for the error.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node, origin)
        return loader.construct_document(node)
    except RecursionError:
        raise UserError(f"{origin} is not valid YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        if (mark := getattr(error, "problem_mark", None)) is not None:
            _check_blanks_near(text, mark.line, origin)
        raise UserError(f"{origin} is not valid YAML: {' '.join(str(error).split())}") from None


def _check_keys(root: yaml.Node, origin: str) -> None:
    """Raise UserError for a key that a mapping holds twice; one that replaces a key taken over by ``<<`` is none."""
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))  # an alias is the node itself, and may stand inside of it
        if isinstance(node, yaml.SequenceNode):
            pending += node.value
            continue
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            pending.append(value)
            line, name = key.start_mark.line + 1, (key.tag, str(key.value))
            _check_blanks(str(key.value), origin, line)
            if name in lines:
                raise UserError(
                    f"{origin}: the key {key.value} is given twice, in lines {lines[name]} and {line}: keep one of them"
                )
            lines[name] = line


def _check_blanks_near(text: str, last: int, origin: str) -> None:
    """Look for the cause of a syntax error in the line where it was noticed, counted from 0, and the one before."""
    lines = text.split("\n")
    for number in range(max(0, last - 1), min(last + 1, len(lines))):
        _check_blanks(re.sub(r"(^|\s)#.*", "", lines[number]), origin, number + 1)


def _check_blanks(text: str, origin: str, line: int) -> None:
    """Raise UserError for a sign that looks like a blank, or like nothing, and is a letter to YAML.

    Web pages and chat programs put such signs into what is copied from them. line: where the text stands, from 1.
    """
    for sign in text:
        if sign != " " and unicodedata.category(sign) in ("Zs", "Cf"):
            name = unicodedata.name(sign, "an invisible sign").lower()
            raise UserError(
                f"{origin}, line {line}: U+{ord(sign):04X} ({name}) stands where YAML "
                "needs a plain blank or nothing: replace it"
            )


def dump(content: Any) -> str:
    """The YAML text of plain content, from which ``load`` gives the same content."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def line_of(text: str, path: Sequence[str | int]) -> int:
    """The line, from 1, of the value at a key path; of the last part that the file holds where it lacks the rest."""
    node, line = _composed(text), 1
    for part in path:
        found = _step_into(node, part)
        if found is None:
            break
        line, node = found
    return line


@functools.lru_cache(maxsize=1)
def _composed(text: str) -> yaml.Node | None:
    """The nodes of a text; one wrong entry that many others take over is looked up for each of them."""
    return yaml.compose(text, _Loader)


def _step_into(node: Any, part: str | int) -> tuple[int, yaml.Node] | None:
    """Line and value of one key or place in a list."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in _own_keys(node):
        if key.value == str(part):
            return key.start_mark.line + 1, value
    taken_over = (value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge")
    parents = (
        one for value in taken_over for one in (value.value if isinstance(value, yaml.SequenceNode) else [value])
    )
    return next((found for parent in parents if (found := _step_into(parent, part)) is not None), None)


def _own_keys(node: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
    return [(key, value) for key, value in node.value if key.tag != "tag:yaml.org,2002:merge"]
