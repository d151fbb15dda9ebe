"""What the names in a module's source stand for, by its imports."""

import ast
from collections import Counter
from collections.abc import Iterable, Mapping


def origins(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """What the names of a module stand for: imported ones by their dotted name, loggers as ``logging.Logger``.

    A name that the module binds besides is left out.
    """
    bound: Counter[str] = Counter()
    imported: dict[str, str] = {}
    loggers: set[str] = set()
    for node in nodes:
        match node:
            case ast.Import():
                imported |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                imported |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
            case ast.Name(ctx=ast.Store()):
                bound[node.id] += 1
            case ast.arg():
                bound[node.arg] += 1
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=called)):
                if ast.unparse(called) in ("logging.getLogger", "getLogger"):
                    loggers.add(name)
    return {
        **{name: origin for name, origin in imported.items() if not bound[name]},
        **{name: "logging.Logger" for name in loggers if bound[name] == 1},
    }


def dotted(node: ast.expr, known: Mapping[str, str]) -> str:
    """``UserError`` -> ``semiseg.base.errors.UserError``, as ``origins`` knows it; empty for what is no name."""
    match node:
        case ast.Name():
            return known.get(node.id, "")
        case ast.Attribute():
            owner = dotted(node.value, known)
            return f"{owner}.{node.attr}" if owner else ""
        case ast.Subscript():
            return dotted(node.value, known)
    return ""
