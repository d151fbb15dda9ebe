"""What a module imports from semiseg, and the names that it binds, read from its syntax tree.

Where the text leaves a doubt, nothing is claimed: imports that may fail on purpose are left out, and a module that
binds names by other means than statements binds any name.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

from semiseg.base.sources import BLOCKS

BY_NAME = frozenset({"exec", "globals", "locals", "setattr", "vars"})  # functions that bind names given as strings


class Import(NamedTuple):
    """One import from semiseg: ``from module import name``; name is empty for ``import module``."""

    line: int
    module: str
    name: str


def imports_of(tree: ast.AST) -> Iterator[Import]:
    """Imports from semiseg, but for those under ``TYPE_CHECKING`` and those whose failure a ``try`` handles."""
    for field in BLOCKS:
        if field == "body" and (_is_for_types(tree) or (isinstance(tree, ast.Try) and tree.handlers)):
            continue
        for part in getattr(tree, field, ()):
            match part:
                case ast.Import(names=names):
                    yield from (Import(part.lineno, name.name, "") for name in names if _is_ours(name.name))
                case ast.ImportFrom(module=str(module), level=0, names=names) if _is_ours(module):
                    yield from (Import(part.lineno, module, name.name) for name in names)
                case _:
                    yield from imports_of(part)


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "semiseg"


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def bound_by(tree: ast.Module) -> frozenset[str] | None:
    """Names that the statements of a module bind; None if it may bind any name."""
    names: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        match node:
            case ast.FunctionDef(name="__getattr__") | ast.alias(name="*"):
                return None
            case ast.Name(id=name, ctx=ast.Load()) if name in BY_NAME:
                return None
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
                continue
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.Name(id=name, ctx=ast.Store()) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names.add(name)
        pending.extend(ast.iter_child_nodes(node))
    return frozenset(names)
