"""Which arguments of a call are texts for people alone, because they end as texts of a ``Dataset`` and nowhere else.

A file of ``semiseg.datasets`` defines ``DATASET`` by a call of ``Dataset``, or of a function that returns one, such as
``nnunet``. What that function does with its parameters is read from its source, not listed here. A parameter counts as
a text only where it is certain: the function is defined once, without a decorator, and each use of the parameter is an
argument of a call that it returns, where it is a text of ``Dataset`` or of another such function.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from semiseg.base.sources import source_of
from semiseg.jobs.module_names import dotted, origins

DATASET = "semiseg.dataset.Dataset"
TEXTS = frozenset({"title", "licence", "citation", "source", "how_to_get", "layout", "notes"})

INSPECTING = frozenset({"locals", "vars", "eval", "exec"})  # they read parameters that they do not name


@dataclass(frozen=True)
class Texts:
    """The texts among a function's arguments. positional: its parameters in order. names: those that are texts."""

    positional: tuple[str, ...]
    names: frozenset[str]

    def drop(self, call: ast.Call) -> None:
        """Take the texts out of a call. In the place of one that is given by position ``...`` is left."""
        call.keywords = [keyword for keyword in call.keywords if keyword.arg not in self.names]
        for index, name in enumerate(self.positional[: len(call.args)]):
            if isinstance(call.args[index], ast.Starred):
                break
            if name in self.names:
                call.args[index] = ast.Constant(...)


NONE = Texts((), frozenset())


def texts_of_builder(text: str) -> tuple[str, Texts]:
    """The function that a dataset's source calls to define ``DATASET``, and the texts among its arguments.

    The function is named by its origin (``semiseg.data.layouts.nnunet``), one of the module itself by its name alone;
    by nothing where there is no such call. SyntaxError for text that is not Python.
    """
    module = _Module(ast.parse(text))
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name("DATASET")], value=ast.Call(func=called)):
                name = module.name_of(called)
                return name, module.texts(name, frozenset())
    return "", NONE


class _Module:
    """A module's tree, in which functions are looked up."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree, self.origins = tree, origins(list(ast.walk(tree)))

    def name_of(self, called: ast.expr) -> str:
        return dotted(called, self.origins) or (called.id if isinstance(called, ast.Name) else "")

    def texts(self, name: str, above: frozenset[str]) -> Texts:
        """The texts of a function, by the name under which this module calls it.

        above: functions whose arguments are passed on to it; a circle of calls has no texts.
        """
        if name in above:
            return NONE
        place, _, function = name.rpartition(".")
        if not place:
            return self._texts_of_own(name, above | {name})
        there = _module(place)
        if there is None:
            return NONE
        if name == DATASET:
            return Texts(there.fields(function), TEXTS)
        return there.texts(there.origins.get(function, function), above | {name})

    def fields(self, name: str) -> tuple[str, ...]:
        """The fields of a dataclass in order."""
        classes = (node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        lines = (line for node in classes for line in node.body if isinstance(line, ast.AnnAssign))
        return tuple(line.target.id for line in lines if isinstance(line.target, ast.Name))

    def _texts_of_own(self, name: str, above: frozenset[str]) -> Texts:
        defined = [node for node in ast.walk(self.tree) if name in _bound(node)]
        if len(defined) != 1 or not isinstance(function := defined[0], ast.FunctionDef):
            return NONE
        looks_around = any(isinstance(node, ast.Name) and node.id in INSPECTING for node in ast.walk(function))
        if function.decorator_list or function not in self.tree.body or looks_around:
            return NONE
        given = function.args
        ordered = [argument.arg for argument in (*given.posonlyargs, *given.args)]
        every = [*ordered, *(argument.arg for argument in given.kwonlyargs)]
        passed = {one: self._passed(function, one, above) for one in every}
        names = {one for one, uses in passed.items() if uses and all(uses)}
        if given.kwarg is not None:
            names |= self._passed_by_keyword(function, given.kwarg.arg, above) - set(every)
        return Texts(tuple(ordered), frozenset(names))

    def _passed(self, function: ast.FunctionDef, name: str, above: frozenset[str]) -> list[bool]:
        """For each use of a parameter, whether it is passed on as a text."""
        uses = _uses(function, name)
        as_texts = {id(value) for call, texts in self._calls(function, above) for value in _given(call, texts)}
        return [id(use) in as_texts for use in uses]

    def _passed_by_keyword(self, function: ast.FunctionDef, name: str, above: frozenset[str]) -> frozenset[str]:
        """Names of the keywords that a parameter like ``**about`` passes on as texts in all of its uses."""
        to = {
            id(keyword.value): texts.names
            for call, texts in self._calls(function, above)
            for keyword in call.keywords
            if keyword.arg is None
        }
        uses = [to.get(id(use), frozenset()) for use in _uses(function, name)]
        return frozenset.intersection(*uses) if uses else frozenset()

    def _calls(self, function: ast.FunctionDef, above: frozenset[str]) -> Iterator[tuple[ast.Call, Texts]]:
        for node in ast.walk(function):
            match node:
                case ast.Return(value=ast.Call(func=called) as call):
                    yield call, self.texts(self.name_of(called), above)


def _module(name: str) -> _Module | None:
    """A module of semiseg; None for any other, and for one that is not Python, which its own hash reports."""
    source = source_of(name) if name.startswith("semiseg.") else None
    try:
        return None if source is None else _Module(ast.parse(source.read_text(encoding="utf-8")))
    except (SyntaxError, ValueError):
        return None


def _bound(node: ast.AST) -> tuple[str, ...]:
    """The names that a node of a tree binds."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            return (name,)
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return tuple(alias.asname or alias.name.partition(".")[0] for alias in names)
    return ()


def _uses(function: ast.FunctionDef, name: str) -> list[ast.AST]:
    """The nodes that read a parameter; the function itself, which is no argument, where the name is bound again."""
    bound = sum(name in _bound(node) for node in ast.walk(function))
    if bound > 1:
        return [function]
    return [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]


def _given(call: ast.Call, texts: Texts) -> Iterator[ast.expr]:
    """The arguments of a call that are texts."""
    yield from (keyword.value for keyword in call.keywords if keyword.arg in texts.names)
    for name, value in zip(texts.positional, call.args, strict=False):
        if isinstance(value, ast.Starred):
            return
        if name in texts.names:
            yield value
