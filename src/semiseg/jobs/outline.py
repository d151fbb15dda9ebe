"""What the source of a module says to the code hash, kept in the project's folder between calls.

Reading a source takes milliseconds, and every call and job reads a hundred of them. An outline is kept with a hash of
all that it follows from: the text, the code that reads it, and the version of Python. So an edit, a restored file or
another version of Python is noticed, whatever the dates of files say.
"""

import ast
import contextlib
import functools
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from semiseg.base import sources
from semiseg.base.errors import UserError
from semiseg.base.files import digest, read_json, write_text
from semiseg.base.sources import package_of, parsed
from semiseg.jobs import code_imports, code_text, dataset_texts, module_names
from semiseg.jobs.code_imports import Import, bound_by, imports_of
from semiseg.jobs.code_text import reduced
from semiseg.jobs.dataset_texts import NONE, Texts, texts_of_builder
from semiseg.paths import OUTLINES

KEPT = Path(OUTLINES) / "outlines.json"
DATASETS = "semiseg.datasets"
READERS = (__file__, *(module.__file__ for module in (sources, code_imports, code_text, dataset_texts, module_names)))


class Outline(NamedTuple):
    """What a source text says. code: what counts of it, as text again. names: what this part imports from semiseg.

    imports: the imports of the whole text. bound: names that its statements bind, None if it may bind any name.
    """

    code: str
    names: tuple[str, ...]
    imports: tuple[Import, ...]
    bound: frozenset[str] | None


@functools.cache
def outline(source: Path) -> Outline:
    """The outline of a source file of semiseg. SyntaxError or ValueError for one that is not Python."""
    text, package = source.read_text(encoding="utf-8"), package_of(source)
    builder = texts_of_builder(text) if package == DATASETS else ("", NONE)
    return _outline(source.name, text, package, builder)


@functools.cache
def _outline(file: str, text: str, package: str, builder: tuple[str, Texts]) -> Outline:
    name, texts = builder
    key = digest([_readers(), text, package, name, texts.positional, sorted(texts.names)])
    place = f"{package}/{file}"
    kept = _kept().get(place, {})
    if kept.get("key") == key:
        return _from_json(kept["outline"])
    read = _read(text, package, builder)
    _kept()[place] = {"key": key, "outline": _as_json(read)}
    _new.add(place)
    return read


def save() -> None:
    """Keep the outlines that were read anew for the next call. Outside a project, and where this user may not write,
    nothing is kept.
    """
    if _new and Path("params.yaml").is_file():
        with contextlib.suppress(UserError, OSError):
            write_text(KEPT, json.dumps(_kept()))
    _new.clear()


def read_anew() -> None:
    """Take no outline that was kept, in this process from here on."""
    outline.cache_clear()
    _outline.cache_clear()
    _kept().clear()


def _read(text: str, package: str, builder: tuple[str, Texts]) -> Outline:
    tree = parsed(text, package)
    imports, bound = tuple(imports_of(tree)), bound_by(tree)
    tree = reduced(tree, builder)
    names = tuple(dict.fromkeys(name for node in ast.walk(tree) for name in _imported(node)))
    return Outline(ast.unparse(tree), names, imports, bound)


def _imported(node: ast.AST) -> list[str]:
    """Names that an import may bring in; ``from semiseg.graph import plan`` names a module, not something in it."""
    match node:
        case ast.Import():
            names = [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module)):
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        case _:
            names = []
    return [name for name in names if name.startswith("semiseg.")]


@functools.cache
def _readers() -> str:
    """Hash of the code that outlines follow from."""
    return digest([sys.version, *(Path(str(file)).read_text(encoding="utf-8") for file in READERS)])


_new: set[str] = set()  # outlines that the file does not hold yet


@functools.cache
def _kept() -> dict[str, dict[str, Any]]:
    """What is kept in the working folder; empty where that is absent, damaged or closed to this user."""
    with contextlib.suppress(UserError, OSError):
        content = read_json(KEPT)
        if isinstance(content, dict):
            return content
    return {}


def _as_json(read: Outline) -> dict[str, Any]:
    return {**read._asdict(), "bound": None if read.bound is None else sorted(read.bound)}


def _from_json(kept: dict[str, Any]) -> Outline:
    bound = None if kept["bound"] is None else frozenset(kept["bound"])
    return Outline(kept["code"], tuple(kept["names"]), tuple(Import(*one) for one in kept["imports"]), bound)
