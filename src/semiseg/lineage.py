"""What an artefact was made from: hashes of code and of parameters, by content and never by time."""

import ast
import functools
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

# Datasets import it to fill the raw folder, and what came there is hashed by content: only the rule that brings files
# depends on this code, and names it.
BRINGING = "semiseg.bring"


def digest(content: Any) -> str:
    """sha256 of a JSON-like value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def code_hash(*modules: str) -> str:
    """sha256 of the code of these semiseg modules and of every semiseg module they import, but ``BRINGING``.

    Comments, blank lines and docstrings do not count. A file beside a module with the same stem (its template) is part
    of it. Modules loaded by name (methods, networks, datasets) are not seen by following imports: name them.
    """
    found: dict[str, str] = {}
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module not in found:
            found[module], imported = _read(module)
            pending.extend(name for name in imported if name != BRINGING)
    return digest(found)


@functools.cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Normalised source of a module, and the semiseg modules it imports."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    source = Path(spec.origin)
    tree = ast.parse(source.read_text(encoding="utf-8"))
    imported = tuple(name for node in ast.walk(tree) for name in _imports(node) if name.startswith("semiseg."))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    beside = [path for path in sorted(source.parent.glob(f"{source.stem}.*")) if path.suffix != ".py"]
    return "\n".join([ast.unparse(tree), *(path.read_text(encoding="utf-8") for path in beside)]), imported


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "semiseg":
        return [node.module, *filter(_is_module, (f"{node.module}.{alias.name}" for alias in node.names))]
    return []


def _is_module(name: str) -> bool:
    """Whether the imported name is a module of its own (``from semiseg import plan``), not something inside one."""
    parent = importlib.util.find_spec(name.rpartition(".")[0])
    is_package = parent is not None and parent.submodule_search_locations is not None
    return is_package and importlib.util.find_spec(name) is not None
