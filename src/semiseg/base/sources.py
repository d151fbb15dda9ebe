"""Source files of the package, read without being imported."""

import ast
import functools
from collections.abc import Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from semiseg.base.errors import UserError

PACKAGE = Path(__file__).parents[1]
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # where a statement holds other statements


class BrokenError(UserError):
    """The file of a plug-in is not Python, or does not define the one class that it should."""


@functools.cache
def source_of(module: str) -> Path | None:
    """The file of a semiseg module, found without importing anything; None for what is no module."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    for file in (place / "__init__.py", place.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def module_exists(module: str) -> bool:
    """Whether a semiseg module is there, in whatever form Python finds one: also a folder without ``__init__.py``."""
    *around, name = module.split(".")
    folder = str(PACKAGE.parent.joinpath(*around))
    return source_of(module) is not None or PathFinder.find_spec(name, [folder]) is not None


def modules_in(package: str) -> list[str]:
    """Names of the modules and packages right inside a semiseg package, for a guess."""
    folder = PACKAGE.joinpath(*package.split(".")[1:])
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted({path.stem for path in found if path.suffix == ".py" or (path / "__init__.py").exists()})


def syntax_tree(file: Path) -> ast.Module:
    """A source file of semiseg, as ``parsed``. Raises BrokenError naming file and line when it is not Python."""
    try:
        return parsed(file.read_text(encoding="utf-8"), package_of(file))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise BrokenError(f"{shown(file)}{line} is not valid Python ({error.msg}): correct it") from None
    except ValueError as error:  # null bytes, or no UTF-8
        raise BrokenError(f"{shown(file)} is not valid Python ({error}): correct it") from None


def package_of(file: Path) -> str:
    """The package that a source file of semiseg belongs to, from which its relative imports start."""
    return ".".join(file.relative_to(PACKAGE.parent).parent.parts)


def parsed(text: str, package: str) -> ast.Module:
    """The syntax tree of a module of this package, whose relative imports are written out as absolute ones."""
    tree = ast.parse(text)
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.ImportFrom) and node.level:
            around = package.split(".")[: len(package.split(".")) + 1 - node.level]
            node.module, node.level = ".".join([*around, *filter(None, [node.module])]), 0
        for block in BLOCKS:
            pending.extend(getattr(node, block, ()))
    return tree


def shown(file: Path) -> str:
    """A file of the package as the user knows it: below the working folder where it lies there, else whole."""
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


@functools.cache
def twin(module: str, name: str) -> type:
    """A class with the bases of a class in the source, as far as they stand in semiseg; others become ``object``.

    Its attribute ``assigned`` holds what the body of the class assigns to names, as expressions, ``functions`` its
    functions by name, and ``constants`` what its module assigns. The order of base classes is Python's own, because the
    twin is a class.
    """
    file = source_of(module)
    tree = ast.Module([], []) if file is None else syntax_tree(file)
    imported = _imported(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            found = [_twin_of_base(base, module, imported) for base in node.bases]
            bases = tuple(dict.fromkeys(base for base in found if base is not object))
            functions = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
            body = {"assigned": dict(assignments(node)), "functions": functions, "constants": dict(assignments(tree))}
            body["__module__"] = module
            return type(name, bases, body)
    if name in imported:
        return twin(*imported[name])
    return object


def twin_of(expression: ast.expr, module: str) -> type:
    """The twin of the class that an expression in this module names; ``object`` for what is no class of semiseg."""
    file = source_of(module)
    return object if file is None else _twin_of_base(expression, module, _imported(syntax_tree(file)))


def _twin_of_base(base: ast.expr, module: str, imported: Mapping[str, tuple[str, str]]) -> type:
    match base:
        case ast.Subscript(value=generic):
            return _twin_of_base(generic, module, imported)
        case ast.Name(id=name):
            return twin(module, name)
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in imported:
            return twin(".".join(imported[owner]), name)
    return object


def _imported(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Names that a module imports from semiseg -> the module they come from and their name there."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "semiseg"
        for alias in node.names
    }


def assignments(node: ast.ClassDef | ast.Module) -> Iterable[tuple[str, ast.expr]]:
    """Names to which the body of a class or module assigns, each with the expression."""
    for statement in node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
