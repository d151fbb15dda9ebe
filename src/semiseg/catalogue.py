"""What plug-in files declare, read from their text: the planner must not import torch."""

import ast
import functools
from pathlib import Path
from typing import Any

from semiseg.errors import UserError

PACKAGE = Path(__file__).parent


@functools.cache
def entries(kind: str) -> tuple[str, ...]:
    """Names of the files of a plug-in folder: ``methods``, ``networks``, ``datasets`` or ``splits``."""
    files = (path for path in (PACKAGE / kind).iterdir() if path.suffix in {".py", ".yaml"})
    return tuple(sorted(path.stem for path in files if not path.stem.startswith("_")))


def require(kind: str, name: str, where: str) -> None:
    """Raise UserError unless the plug-in folder has this entry; ``where`` is the key path that asks for it."""
    if name not in entries(kind):
        raise UserError(f"{where}: unknown {kind.removesuffix('s')} {name!r}; known: {', '.join(entries(kind))}")


@functools.cache
def defaults(method: str) -> dict[str, Any]:
    """Declared hyperparameters of a method and their defaults: the ``name = Hyper(default, ...)`` lines of its file."""
    tree = ast.parse((PACKAGE / "methods" / f"{method}.py").read_text(encoding="utf-8"))
    return {
        statement.targets[0].id: ast.literal_eval(statement.value.args[0])
        for definition in tree.body
        if isinstance(definition, ast.ClassDef)
        for statement in definition.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == "Hyper"
    }


def check_hyper(method: str, given: dict[str, Any], where: str) -> None:
    """Raise UserError for a parameter that the method does not have, or a value of another type than the default's."""
    known = defaults(method)
    for name, value in given.items():
        if name not in known:
            raise UserError(f"{where}.{name}: {method} has no such parameter; it has: {', '.join(known) or 'none'}")
        default = known[name]
        fits = isinstance(value, int | float) if type(default) is float else type(value) is type(default)
        if isinstance(value, bool) != isinstance(default, bool) or not (fits or default is None):
            kind = type(default).__name__
            raise UserError(f"{where}.{name}: expected a value of type {kind} such as {default!r}, found {value!r}")
