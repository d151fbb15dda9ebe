"""Which code a job runs, and a hash of it: by content, following imports, blind to what no output can depend on."""

import ast
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semiseg.base.controls import is_control
from semiseg.base.files import digest
from semiseg.base.names import guess
from semiseg.base.sources import (
    BrokenError,
    module_exists,
    modules_in,
    shown,
    source_of,
    syntax_tree,
)
from semiseg.jobs import outline
from semiseg.jobs.code_imports import Import
from semiseg.jobs.code_text import reduced
from semiseg.jobs.outline import Outline

DATASETS = "semiseg.datasets."
# Datasets import these to fill the raw folder. Its content is hashed, so of the rules that start from a dataset only
# `raw` depends on this code.
FILLS_RAW = ("semiseg.data.arrival.importing", "semiseg.data.arrival.zipped", "semiseg.data.drawing")
# No output depends on these modules, so an edit of them must not make a result stale:
WITHOUT_EFFECT = (
    "semiseg.base.errors",  # texts for people
    "semiseg.base.names",
    "semiseg.base.network_checks",
    "semiseg.base.progress",
    "semiseg.base.sources",  # reads sources, for the planner
    "semiseg.base.surroundings",
    "semiseg.base.terminal",
    "semiseg.catalogue",  # finds plug-ins by name, reads what they declare for the planner
    "semiseg.data.checks",  # warns
    "semiseg.data.local_copies",  # the same bytes on another disk, checked by hash
    "semiseg.graph.requirements",  # refuses a protocol before it is used
    "semiseg.jobs",  # what surrounds a job: locks, records, this hash
    "semiseg.learning.generators",  # refuses a method that could not be resumed
    "semiseg.learning.history",  # losses of finished steps: written down, never read by the training
    "semiseg.learning.history_file",
    "semiseg.learning.signals",  # when to save; an interrupted training ends with the same weights
    "semiseg.params.config",  # checks parameters, which a job is given resolved
    "semiseg.params.data",
    "semiseg.params.kinds",
    "semiseg.params.preparation",
    "semiseg.params.selection",
    "semiseg.params.sentences",
    "semiseg.params.yaml_1_2",  # reads parameters, and lists of cases, whose result is a split
    "semiseg.params.reading",
    "semiseg.params.table",
    "semiseg.params.weights",
)


def modules_of(rule: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that a job of this rule starts from: its stage, and what the stage loads by name."""
    stage = f"semiseg.stages.{'tabulate' if rule == 'table' else rule}"
    match rule:
        case "standin":
            return stage, f"semiseg.standins.{spec['dataset']}"
        case "download" | "raw" | "prepare" | "split" | "evaluate":
            return stage, f"semiseg.datasets.{spec['dataset']}"
        case "train" | "predict" if is_control(spec["method"]):
            return f"{stage}_control", f"semiseg.methods.{spec['method']}"
        case "train" if "weights" in spec:
            return f"{stage}_imported", *plug_ins(spec)
        case "train" | "predict":
            return stage, *plug_ins(spec)
        case "seconds":
            return stage, *sorted({name for row in spec["rows"].values() for name in plug_ins(row["train"])})
        case _:
            return (stage,)


def plug_ins(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that a training loads by name: its method, the method that this one wraps, and its network."""
    methods = [spec["method"], *([spec["wrapped"]["method"]] if "wrapped" in spec else [])]
    return *(f"semiseg.methods.{name}" for name in methods), f"semiseg.networks.{spec['network']['name']}"


def code_of(rule: str, spec: Mapping[str, Any]) -> str:
    """Hash of the code that a job of this rule runs."""
    return code_hash(*modules_of(rule, spec))


def read_source_anew() -> None:
    """Hash the code from its source alone, in this process from here on: a full audit believes no cache."""
    outline.read_anew()
    for cached in (code_hash, _closure, _read, _runs_code):
        cached.cache_clear()


def made_by_this_code(record: Mapping[str, Any]) -> bool:
    """Whether the job of a lineage record would run the same code now."""
    return bool(record["code"]["hash"] == code_of(record["rule"], record["params"]))


@functools.cache
def code_hash(*modules: str) -> str:
    """sha256 of the code of these semiseg modules and of all that they import (``module_hashes``)."""
    return digest(module_hashes(*modules))


def module_hashes(*modules: str) -> dict[str, str]:
    """A short hash per module: of these semiseg modules, of every one they import, and of packages that run code.

    Modules of ``WITHOUT_EFFECT`` are not followed. ``FILLS_RAW`` is followed from a dataset for the rule ``raw`` alone.
    What ``code_text`` leaves out does not count. A file beside a module with the same stem (its template) is part of
    it. Modules that are loaded by name (methods, networks, datasets) are not found by following imports: name them.
    """
    return dict(_closure(tuple(modules)))


@functools.cache
def _closure(modules: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module in found:
            continue
        found[module], imported = _read(module)
        elsewhere = module.startswith(DATASETS) and "semiseg.stages.raw" not in modules
        skipped = WITHOUT_EFFECT + (FILLS_RAW if elsewhere else ())
        pending.extend(package for package in _packages(module) if _runs_code(package))
        pending.extend(name for name in imported if not _is_within(name, skipped))
    outline.save()
    return found


def _is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@functools.cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Short hash of what counts of a module, and the semiseg modules it imports.

    Raises BrokenError, with file and line, for a module that is not Python or imports from semiseg what is not there.
    """
    source = source_of(module)
    if source is None:
        raise ModuleNotFoundError(module)
    text = _outline(source)
    for one in text.imports:
        if fault := _fault(one):
            raise BrokenError(f"{shown(source)}, line {one.line} imports {fault}")
    beside = [path for path in sorted(source.parent.glob(f"{source.stem}.*")) if path.suffix != ".py"]
    whole = "\n".join([text.code, *(path.read_text(encoding="utf-8") for path in beside)])
    return digest(whole)[:16], tuple(name for name in text.names if _is_module_with_code(name))


def _outline(source: Path) -> Outline:
    """The outline of a source file. Raises BrokenError, with file and line, for one that is not Python."""
    try:
        return outline.outline(source)
    except (SyntaxError, ValueError):
        syntax_tree(source)  # raises the sentence
        raise


def _fault(wanted: Import) -> str | None:
    """What an import asks for and does not get, as the end of a sentence; None where it works."""
    module, name = wanted.module, wanted.name
    for around, part in _steps(module):
        if not module_exists(f"{around}.{part}"):
            return f"{module}, but {around} has no module {part}{guess(part, modules_in(around))}"
    source = source_of(module)
    if source is None or name in ("", "*") or (name.startswith("__") and name.endswith("__")):
        return None
    bound = _outline(source).bound
    if bound is None or name in bound or module_exists(f"{module}.{name}"):
        return None
    return f"{name} from {module}, which does not define it{guess(name, [*bound, *modules_in(module)])}"


def _steps(module: str) -> list[tuple[str, str]]:
    """Package and part for each dot of a module's name: ``a.b.c`` -> a and b, a.b and c."""
    parts = module.split(".")
    return [(".".join(parts[:count]), parts[count]) for count in range(1, len(parts))]


def _is_module_with_code(name: str) -> bool:
    source = source_of(name)
    return source is not None and (source.name != "__init__.py" or _runs_code(name))


def _packages(module: str) -> list[str]:
    """The packages around a module; those that run code do so when the module is imported."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


@functools.cache
def _runs_code(package: str) -> bool:
    """Whether a package holds more than a docstring and its version."""
    source = source_of(package)
    if source is None:
        return False
    body = reduced(syntax_tree(source)).body
    return any(not ast.unparse(statement).startswith("__version__ = ") for statement in body)
