"""A module's code without what no output can depend on: docstrings, texts for people, log lines, annotations.

The result is text to be hashed; it is never run. Whatever is dropped here may change without making a result stale, so
a thing is dropped only where it is certain what it is:

- The arguments of ``raise UserError(...)``. The job ends there and writes no output, whatever the arguments do.
- Statements that do nothing but call a logger or a function of ``semiseg.base.progress``. Calls inside their arguments
  stay, because they might act (``log.info("%s", next(lines))``).
- Meaning and source of a ``Hyper``; title, licence, notes and the other texts of a ``Dataset``, also where a function
  passes them on to it (``dataset_texts``).
- Annotations, and the blocks under ``if TYPE_CHECKING``. Of the fields of a dataclass or a named tuple the names stay;
  pydantic models keep their annotations, because these convert values.
- Imports whose names stand only in what was dropped.

Names are resolved through the imports of the module. A name that the module binds twice is left alone.
"""

import ast
from collections.abc import Iterable, Iterator

from semiseg.base.sources import BLOCKS
from semiseg.jobs.dataset_texts import DATASET, NONE, TEXTS, Texts
from semiseg.jobs.module_names import dotted, origins

ERROR, HYPER = "semiseg.base.errors.UserError", "semiseg.method.Hyper"
HYPER_TEXTS = frozenset({"meaning", "source"})
LOGGERS = ("semiseg.base.progress.", "logging.")
HARMLESS = frozenset({"len", "repr", "round", "str"})  # builtins that only read their argument
FIELDS = frozenset({"NamedTuple", "TypedDict"})  # bases whose subclasses declare fields by annotations
TYPES = ("pydantic.BaseModel", "semiseg.params.")  # bases whose subclasses use the annotations when they run
MARKERS = frozenset({"ClassVar", "InitVar", "KW_ONLY"})  # annotations that change what a dataclass does


def reduced(tree: ast.Module, builder: tuple[str, Texts] = ("", NONE)) -> ast.Module:
    """A module's syntax tree without what no output can depend on. The tree itself is changed.

    builder: a function that passes texts on to ``Dataset``, as ``dataset_texts.texts_of_builder`` gives it.
    """
    nodes = list(ast.walk(tree))
    _Reducer(origins(nodes), {DATASET: Texts((), TEXTS), builder[0]: builder[1]}).visit(tree)
    _drop_imports(tree, _names(nodes) - _names(ast.walk(tree)))
    return tree


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name)}


class _Reducer(ast.NodeTransformer):
    def __init__(self, known: dict[str, str], builders: dict[str, Texts]) -> None:
        self.origins, self.builders = known, builders
        self.annotations = "unused"  # what they are to the code around: unused, fields or types
        self.models: set[str] = set()  # classes of this module that are pydantic models

    def _dotted(self, node: ast.expr) -> str:
        return dotted(node, self.origins)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call) and self._dotted(node.exc.func) == ERROR:
            node.exc.args, node.exc.keywords = [], []
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt] | None:
        """A docstring goes; of a log line the calls inside its arguments stay."""
        if isinstance(node.value, ast.Constant):
            return None
        if isinstance(node.value, ast.Call) and self._dotted(node.value.func).startswith(LOGGERS):
            given = [*node.value.args, *(keyword.value for keyword in node.value.keywords)]
            return [ast.copy_location(ast.Expr(call), node) for part in given for call in _acting(part)]
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = self._dotted(node.func) or (node.func.id if isinstance(node.func, ast.Name) else "")
        if called == HYPER:
            node.func = ast.Name("Hyper", ast.Load())
            node.args = [*node.args[:1], *node.args[3:]]
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in HYPER_TEXTS]
        self.builders.get(called, NONE).drop(node)
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if self._dotted(node.test) == "typing.TYPE_CHECKING":
            run = ast.Module(node.orelse, [])
            self.generic_visit(run)
            return run.body
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """The creation of a logger goes."""
        target = node.targets[0]
        if isinstance(target, ast.Name) and self.origins.get(target.id) == "logging.Logger":
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self.annotations == "unused":
            if node.value is None:
                return None
            return self.visit_Assign(ast.copy_location(ast.Assign([node.target], node.value), node))
        if self.annotations == "fields" and not any(marker in ast.unparse(node.annotation) for marker in MARKERS):
            node.annotation = ast.Constant(...)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._inside(node, "unused")

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self._inside(node, "unused")

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        bases = [self._dotted(base) for base in node.bases]
        own = {base.id for base in node.bases if isinstance(base, ast.Name)}
        if any(base.startswith(TYPES) for base in bases) or own & self.models:
            self.models.add(node.name)
            return self._inside(node, "types")
        fields = node.decorator_list or any(base.rpartition(".")[2] in FIELDS for base in bases)
        return self._inside(node, "fields" if fields else "unused")

    def _inside(self, node: ast.AST, annotations: str) -> ast.AST:
        around, self.annotations = self.annotations, annotations
        self.generic_visit(node)
        self.annotations = around
        return node


def _drop_imports(node: ast.AST, names: set[str]) -> None:
    """Remove from a tree the imports of these names."""
    for field in BLOCKS:
        block: list[ast.AST] = getattr(node, field, [])
        for statement in list(block):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                kept = [a for a in statement.names if (a.asname or a.name.partition(".")[0]) not in names]
                statement.names = kept
                if not kept:
                    block.remove(statement)
            else:
                _drop_imports(statement, names)


def _acting(node: ast.AST) -> Iterator[ast.expr]:
    """The outermost expressions within this one that might do something besides giving a value."""
    harmless = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in HARMLESS
    if isinstance(node, ast.Call | ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom) and not harmless:
        yield node
    else:
        for child in ast.iter_child_nodes(node):
            yield from _acting(child)
