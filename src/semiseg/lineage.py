"""What an artefact was made from: hashes of code and of parameters, by content and never by time."""

import ast
import functools
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any


def digest(content: Any) -> str:
    """sha256 of a JSON-like value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def code_hash(*modules: str) -> str:
    """sha256 of the code of these semiseg modules and of every semiseg module they import.

    Comments, blank lines and docstrings do not count. Modules loaded by name (methods, networks, datasets) are not
    seen by following imports: name them.
    """
    found: dict[str, str] = {}
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module not in found:
            found[module], imported = _read(module)
            pending.extend(imported)
    return digest(found)


@functools.cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Normalised source of a module, and the semiseg modules it imports."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported = tuple(name for node in ast.walk(tree) for name in _imports(node) if name.startswith("semiseg."))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree), imported


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module == "semiseg":
        return [f"semiseg.{alias.name}" for alias in node.names if _is_module(f"semiseg.{alias.name}")]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def _is_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
