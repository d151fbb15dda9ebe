"""Which code a job runs, and a hash of it: by content, following imports, blind to comments."""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import semiseg
from semiseg.base.files import digest

# Datasets import it to fill the raw folder, and what came there is hashed by content: only the rule that brings files
# depends on this code, and names it.
BRINGING = "semiseg.data.arrival.importing"
# No output depends on these. They speak to people, hash code, or check parameters, which a job is given resolved:
# neither a better sentence nor a new key of params.yaml must retrain anything.
WITHOUT_EFFECT = (
    "semiseg.base.errors",
    "semiseg.base.progress",
    "semiseg.base.terminal",
    "semiseg.jobs.code_hash",
    "semiseg.params",
)
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # where a statement holds other statements


def modules_of(rule: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that a job of this rule starts from: its stage, and what the stage loads by name."""
    stage = f"semiseg.stages.{'tabulate' if rule == 'table' else rule}"
    match rule:
        case "standin":
            return stage, f"semiseg.standins.{spec['dataset']}"
        case "raw":
            return stage, f"semiseg.datasets.{spec['dataset']}", BRINGING
        case "download" | "prepare" | "split" | "evaluate":
            return stage, f"semiseg.datasets.{spec['dataset']}"
        case "train" | "predict":
            return stage, f"semiseg.methods.{spec['method']}", f"semiseg.networks.{spec['network']['name']}"
        case _:
            return (stage,)


def code_of(rule: str, spec: Mapping[str, Any]) -> str:
    """Hash of the code that a job of this rule runs."""
    return code_hash(*modules_of(rule, spec))


@functools.cache
def code_hash(*modules: str) -> str:
    """sha256 of the code of these semiseg modules and of all that they import (``module_hashes``)."""
    return digest(module_hashes(*modules))


@functools.cache
def _closure(modules: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module not in found:
            found[module], imported = _read(module)
            pending.extend(_packages(module))
            pending.extend(name for name in imported if name != BRINGING and not _without_effect(name))
    return found


def _without_effect(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in WITHOUT_EFFECT)


def module_hashes(*modules: str) -> dict[str, str]:
    """A short hash per module: of these semiseg modules, of every one they import, and of packages that run code.

    ``BRINGING`` and ``WITHOUT_EFFECT`` are not followed. Comments, blank lines and docstrings do not count. A file
    beside a module with the same stem (its template) is part of it. Modules loaded by name (methods, networks,
    datasets) are not seen by following imports: name them.
    """
    return dict(_closure(tuple(modules)))


@functools.cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Short hash of a module's normalised source, and the semiseg modules it imports."""
    source = _source(module)
    if source is None:
        raise ModuleNotFoundError(module)
    tree, imported = ast.parse(source.read_text(encoding="utf-8")), []
    for node in _statements(tree):
        imported += [name for name in _imports(node) if name.startswith("semiseg.")]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    beside = [path for path in sorted(source.parent.glob(f"{source.stem}.*")) if path.suffix != ".py"]
    text = "\n".join([ast.unparse(tree), *(path.read_text(encoding="utf-8") for path in beside)])
    return digest(text)[:16], tuple(imported)


@functools.cache
def _packages(module: str) -> tuple[str, ...]:
    """The packages around a module that run code when it is imported; most hold a docstring alone, and no bits."""
    parts = module.split(".")
    around = [".".join(parts[:count]) for count in range(1, len(parts))]
    return tuple(package for package in around if _runs_code(package))


@functools.cache
def _runs_code(package: str) -> bool:
    source = _source(package)
    if source is None:
        return False
    body = ast.parse(source.read_text(encoding="utf-8")).body
    return any(
        ast.unparse(statement).partition(" = ")[0] != "__version__" for statement in body if not _is_text(statement)
    )


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The module and its statements at any depth, a statement before those inside it; expressions are not entered."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(inner for block in BLOCKS for inner in getattr(node, block, ()))


def _imports(node: ast.AST) -> list[str]:
    """What an import statement may bring in; ``from semiseg import plan`` names a module, not something inside one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "semiseg":
        inside = (f"{node.module}.{alias.name}" for alias in node.names)
        return [node.module, *(name for name in inside if _source(name) is not None)]
    return []


@functools.cache
def _source(module: str) -> Path | None:
    """The file of a semiseg module, found without importing anything: packages may be slow to load."""
    inner = module.split(".")[1:]
    for folder in map(Path, semiseg.__path__):
        for file in (folder.joinpath(*inner, "__init__.py"), folder.joinpath(*inner).with_suffix(".py")):
            if file.is_file():
                return file
    return None
