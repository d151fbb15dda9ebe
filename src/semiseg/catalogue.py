"""Plug-in files: which there are, and what they declare.

What a method declares is read from the text of its file and of the files of its base classes, because the planner must
not import torch.
"""

import ast
import functools
import importlib
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from semiseg.base import sources
from semiseg.base.controls import PREFIX, is_control
from semiseg.base.declared_networks import as_net, networks_in
from semiseg.base.errors import UserError
from semiseg.base.names import guess, unknown

BASES = {"methods": ("semiseg.method", "Method"), "networks": ("semiseg.network", "Backbone")}  # module, class
CONTROL = ("semiseg.control", "Control")  # the base in the files of methods that are controls by their name
WORDS = {"published": "paper", "splits": "split list"}  # of kinds whose name is not the folder's
Base = TypeVar("Base")


@functools.cache
def entries(kind: str) -> tuple[str, ...]:
    """Names of the files of a plug-in folder: methods, networks, datasets, splits, published."""
    files = (path for path in (sources.PACKAGE / kind).iterdir() if path.suffix in {".py", ".yaml", ".csv"})
    return tuple(sorted(path.stem for path in files if not path.stem.startswith("_")))


def require(kind: str, name: str, where: str = "", others: Iterable[str] = ()) -> None:
    """Raise UserError unless the plug-in folder has this entry.

    where: key path in which the name stands, if it stands in a file. others: names that are allowed there besides the
    entries, for the error, which proposes the nearest names.
    """
    if name not in entries(kind):
        raise unknown(WORDS.get(kind, kind.removesuffix("s")), name, [*entries(kind), *others], where)


def load_class(kind: str, name: str, base: type[Base]) -> type[Base]:
    """The one subclass of ``base`` that the file ``<kind>/<name>.py`` defines; import errors are raised."""
    module = importlib.import_module(f"semiseg.{kind}.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise sources.BrokenError(_not_one(sources.PACKAGE / kind / f"{name}.py", base.__name__, len(found)))
    return found[0]


def load_value(kind: str, name: str, variable: str) -> Any:
    """The module variable of this name that the file ``<kind>/<name>.py`` defines.

    Raises BrokenError, with the line, where the file cannot be imported or does not define it.
    """
    file = sources.PACKAGE / kind / f"{name}.py"
    try:
        module = importlib.import_module(f"semiseg.{kind}.{name}")
    except Exception as error:
        if isinstance(error, SyntaxError | ValueError):  # Python names no file that holds null bytes
            for path in sorted(sources.PACKAGE.rglob("*.py")):
                sources.syntax_tree(path)
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{sources.shown(Path(last.filename))}, line {last.lineno}"
        what = f"{type(error).__name__}: {error}"
        raise sources.BrokenError(
            f"{sources.shown(file)} cannot be imported ({what}, at {where}): correct it"
        ) from error
    if not hasattr(module, variable):
        raise sources.BrokenError(f"{sources.shown(file)} must define {variable}, it defines none")
    return getattr(module, variable)


@dataclass(frozen=True)
class Declared:
    """A hyperparameter as its method declares it; ``choices`` is empty where any value will do.

    at_prediction, meaning, source: as in ``semiseg.method.Hyper``; the texts are empty where they are not written out.
    """

    default: Any
    choices: tuple[Any, ...]
    at_prediction: bool = False
    meaning: str = field(default="", compare=False)
    source: str = field(default="", compare=False)


@functools.cache
def hyperparameters(method: str) -> dict[str, Declared]:
    """Declared hyperparameters of a method, those of its base classes first: the ``name = Hyper(default, ...)`` lines.

    Raises BrokenError when the file does not define exactly one method, and for a default that is not written out.
    """
    return {
        name: _hyper(value, vars(owner)["constants"], f"{owner.__name__}.{name}")
        for owner in reversed(_plug_in_twin("methods", method).__mro__)
        for name, value in vars(owner).get("assigned", {}).items()
        if _is_hyper(value)
    }


@functools.cache
def declared(name: str, kind: str = "methods") -> dict[str, Any]:
    """Class attributes of a plug-in that are written out (``labelled_only = True``), its own or of a base class.

    kind: methods or networks. A ``Net`` counts as written out; its backbone is then the class's twin. Raises
    BrokenError when the file does not define exactly one class of its kind.
    """
    return _declared(_plug_in_twin(kind, name))


def _declared(twin: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for owner in reversed(twin.__mro__):
        assigned = vars(owner).get("assigned", {})
        found |= {name: _literal(value) for name, value in assigned.items()}
        if isinstance(networks := assigned.get("networks"), ast.Dict):
            found["networks"] = networks_in(networks, owner.__module__)
    return {name: value for name, value in found.items() if value is not None}


def own_backbones(method: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Network of a method -> class and attributes of its backbone, where the method names one of its own."""
    networks = declared(method).get("networks")
    entries = networks.items() if isinstance(networks, Mapping) else ()
    own = {name: as_net(entry).backbone for name, entry in entries}
    return {name: (one.__name__, _declared(one)) for name, one in own.items() if isinstance(one, type)}


def of_training(method: str, hyper: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a method's hyperparameters that act in training, which are all but those declared ``at_prediction``."""
    known = hyperparameters(method)
    return {name: value for name, value in hyper.items() if not known[name].at_prediction}


def requirements(method: str) -> dict[str, str]:
    """What a method requires of a protocol: kind -> name of the hyperparameter that belongs to it, or empty.

    ``requires = ("equal_halves", "cubes:cube_size")`` gives ``{"equal_halves": "", "cubes": "cube_size"}``.
    """
    pairs = (one.partition(":") for one in declared(method).get("requires", ()))
    return {kind: name for kind, _, name in pairs}


def wrapped(method: str, hyper: Mapping[str, Any]) -> str | None:
    """The method that a method with these hyperparameters wraps; None where it wraps none.

    hyper: deviations from the defaults.
    """
    name = declared(method).get("wraps")
    return str(hyper.get(name, hyperparameters(method)[name].default)) if name else None


def overrides(name: str, function: str, kind: str = "methods") -> bool:
    """Whether a plug-in, or a base class of it, defines a function of this name, other than the base of its kind.

    kind: methods or networks.
    """
    return function in dict(_functions(kind, name))


@functools.cache
def attributes(method: str) -> frozenset[str] | None:
    """Names of the attributes that the functions of a method and of its base classes set; None if any may be set."""
    names: set[str] = set()
    for node in (node for _, function in _functions("methods", method) for node in ast.walk(function)):
        match node:
            case ast.Attribute(attr=attribute, ctx=ast.Store()):
                names.add(attribute)
            case (
                ast.Call(func=ast.Attribute(attr="add_module" | "register_module"), args=[given, *_])
                | ast.Call(func=ast.Name(id="setattr"), args=[_, given, *_])
            ):
                if not isinstance(given, ast.Constant):
                    return None
                names.add(str(given.value))
    return frozenset(names)


@functools.cache
def _functions(kind: str, name: str) -> list[tuple[str, ast.FunctionDef]]:
    """Functions by name of a plug-in and of its base classes, but for those of the base of its kind."""
    base = sources.twin(*_base(kind, name))
    owners = (owner for owner in _plug_in_twin(kind, name).__mro__ if owner is not base)
    return [pair for owner in owners for pair in vars(owner).get("functions", {}).items()]


def _plug_in_twin(kind: str, name: str) -> type:
    """The twin of the one class in a plug-in's file that derives from the base of its kind."""
    base_module, base_name = _base(kind, name)
    base = sources.twin(base_module, base_name)
    file = sources.PACKAGE / kind / f"{name}.py"
    classes = [node.name for node in sources.syntax_tree(file).body if isinstance(node, ast.ClassDef)]
    found = [twin for twin in (sources.twin(f"semiseg.{kind}.{name}", one) for one in classes) if base in twin.__mro__]
    if len(found) != 1:
        raise sources.BrokenError(_not_one(file, base_name, len(found)))
    return found[0]


def _base(kind: str, name: str) -> tuple[str, str]:
    """Module and class from which the class in a plug-in's file derives."""
    return CONTROL if kind == "methods" and is_control(name) else BASES[kind]


def _is_hyper(value: ast.expr) -> bool:
    """Whether an expression is ``Hyper(...)`` or ``Hyper[float](...)``."""
    if not isinstance(value, ast.Call):
        return False
    called = value.func.value if isinstance(value.func, ast.Subscript) else value.func
    return isinstance(called, ast.Name) and called.id == "Hyper"


def _hyper(value: ast.expr, constants: Mapping[str, ast.expr], what: str) -> Declared:
    assert isinstance(value, ast.Call)
    given = {keyword.arg: keyword.value for keyword in value.keywords}
    given |= dict(zip(("default", "meaning", "source", "choices"), value.args, strict=False))
    if (default := _literal(given.get("default"))) is None:
        raise sources.BrokenError(f"{what} must have a number, a text, True or False as its default, written out")
    meaning, source = (_text(given.get(name), constants) for name in ("meaning", "source"))
    choices = given.get("choices")
    if isinstance(choices, ast.Name):
        choices = constants.get(choices.id)
    at_prediction = _literal(given.get("at_prediction")) is True
    return Declared(default, tuple(_literal(choices) or ()), at_prediction, meaning, source)


def _text(value: ast.expr | None, constants: Mapping[str, ast.expr]) -> str:
    """A text that is written out, with the module's constants that stand in it."""
    match value:
        case ast.Name(id=name) if name in constants:
            return _text(constants[name], {})
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, constants) for part in parts)
        case ast.FormattedValue(value=part):
            return _text(part, constants)
    return str(_literal(value) or "")


def _literal(value: ast.expr | None) -> Any:
    """A value that is written out; None for others, which are known only when the method is built."""
    try:
        return None if value is None else ast.literal_eval(value)
    except ValueError:
        return None


def _not_one(file: Path, base: str, count: int) -> str:
    reason = f" (its name begins with {PREFIX})" if is_control(file.stem) else ""
    return f"{sources.shown(file)} must define exactly one {base}{reason}, it defines {count}"


def check_hyper(method: str, given: Mapping[str, Any], where: str) -> None:
    """Raise UserError for a parameter that the method does not have, or a value that cannot stand for its default."""
    known = hyperparameters(method)
    for name, value in given.items():
        if name not in known:
            has = ", ".join(known) or "none"
            raise UserError(f"{where}.{name}: {method} has no such parameter; it has: {has}{guess(name, known)}")
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
