"""Plug-in files: which there are, what they declare (read from their text: the planner must not import torch)."""

import ast
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from semiseg.base.errors import UserError

PACKAGE = Path(__file__).parent
Base = TypeVar("Base")


@functools.cache
def entries(kind: str) -> tuple[str, ...]:
    """Names of the files of a plug-in folder: methods, networks, datasets, splits, published."""
    files = (path for path in (PACKAGE / kind).iterdir() if path.suffix in {".py", ".yaml", ".csv"})
    return tuple(sorted(path.stem for path in files if not path.stem.startswith("_")))


def require(kind: str, name: str, where: str) -> None:
    """Raise UserError unless the plug-in folder has this entry; ``where`` is the key path that asks for it."""
    if name not in entries(kind):
        raise UserError(f"{where}: unknown {kind.removesuffix('s')} {name!r}; known: {', '.join(entries(kind))}")


def load_class(kind: str, name: str, base: type[Base]) -> type[Base]:
    """The one subclass of ``base`` that the file ``<kind>/<name>.py`` defines; import errors are raised."""
    module = importlib.import_module(f"semiseg.{kind}.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise UserError(f"semiseg/{kind}/{name}.py must define exactly one {base.__name__}, it defines {len(found)}")
    return found[0]


@dataclass(frozen=True)
class Declared:
    """A hyperparameter as its method's file declares it; ``choices`` is empty where any value will do."""

    default: Any
    choices: tuple[Any, ...]


@functools.cache
def hyperparameters(method: str) -> dict[str, Declared]:
    """Declared hyperparameters of a method: the ``name = Hyper(default, ...)`` lines of its file."""
    return {
        name: Declared(ast.literal_eval(call.args[0]), _literals(call.args[3:]))
        for name, call in _assigned(method).items()
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Hyper"
    }


@functools.cache
def declared(method: str) -> dict[str, Any]:
    """What a method's class says of itself in plain values (``labelled_only = True``), read from its file."""
    return {name: value.value for name, value in _assigned(method).items() if isinstance(value, ast.Constant)}


@functools.cache
def _assigned(method: str) -> dict[str, ast.expr]:
    """What the class of a method's file assigns to names, as expressions."""
    try:
        tree = ast.parse((PACKAGE / "methods" / f"{method}.py").read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"semiseg/methods/{method}.py is not valid Python ({error}): correct it") from None
    return {
        statement.targets[0].id: statement.value
        for definition in tree.body
        if isinstance(definition, ast.ClassDef)
        for statement in definition.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def check_hyper(method: str, given: Mapping[str, Any], where: str) -> None:
    """Raise UserError for a parameter that the method does not have, or a value that cannot stand for its default."""
    known = hyperparameters(method)
    for name, value in given.items():
        if name not in known:
            raise UserError(f"{where}.{name}: {method} has no such parameter; it has: {', '.join(known) or 'none'}")
        default, choices = known[name].default, known[name].choices
        if choices and value not in choices:
            raise UserError(f"{where}.{name}: expected one of {', '.join(map(str, choices))}, found {value!r}")
        if not _same_kind(value, default):
            kind = type(default).__name__
            raise UserError(f"{where}.{name}: expected a value of type {kind} such as {default!r}, found {value!r}")


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _literals(arguments: list[ast.expr]) -> tuple[Any, ...]:
    """The choices, where they are written out; others are checked when the method is built."""
    try:
        return tuple(ast.literal_eval(arguments[0])) if arguments else ()
    except ValueError:
        return ()
