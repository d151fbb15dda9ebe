"""Compares recorded jobs with the parameters and the code that are here, and names the differences."""

import ast
import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import digest
from semiseg.base.sources import BrokenError
from semiseg.base.texts import some
from semiseg.graph.graph import Graph
from semiseg.graph.job import Job
from semiseg.jobs.code_hash import module_hashes
from semiseg.jobs.record import OUTSIDE, Record, recorded
from semiseg.proof.audit.verdicts import Finding, Verdict
from semiseg.proof.provenance import Link

OTHER_CODE = "was made by other code: "
ABSENT = object()
LONGEST = 60  # characters of a value that are shown


def check_wanted(link: Link, graph: Graph) -> Iterator[Finding]:
    """Findings about a recorded job that differs from what the parameters and the code here would do."""
    try:
        reasons = list(_reasons(link, graph))
    except BrokenError:  # it has no bearing on what the parameters require
        raise
    except UserError as error:
        reasons = [f"params.yaml does not ask for it any more: {error}"]
    for reason in reasons:
        yield Finding(Verdict.STALE, link.main, reason, link.main)


def _reasons(link: Link, graph: Graph) -> Iterator[str]:
    record, job = link.record, graph.maker(link.main)
    if record is None:
        return
    if job is None or job.rule != record["rule"]:
        yield f"no rule makes it as the recorded {record['rule']} did"
        return
    if changes := list(differences(record["params"], recorded(job.spec))):
        yield f"was made with other parameters: {some(changes, 4)}"
    if modules := changed_modules(record, job):
        yield OTHER_CODE + some(modules, 6)
    for side, wanted in (("inputs", job.read), ("outputs", list(job.outputs.values()))):
        here = {entry.path for entry in getattr(link, side)}
        if here - {OUTSIDE} != set(wanted):
            yield f"has other {side}: {some([*_signed(here, wanted)], 4)}"


def changed_modules(record: Record, job: Job) -> list[str]:
    """Modules whose code differs from the recorded code, is new or gone, or cannot be read any more."""
    try:
        now = module_hashes(*job.modules)
    except (BrokenError, ValueError, ModuleNotFoundError, OSError) as error:
        unreadable = [name for name in record["code"]["modules"] if not _is_readable(name)]
        return [f"{name} cannot be read as code" for name in unreadable] or [f"it cannot be read ({error})"]
    then: Mapping[str, str] = record["code"]["modules"]
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    if not changed and record["code"]["hash"] != digest(now):
        return ["its code hash does not fit its modules"]
    return changed


def _is_readable(module: str) -> bool:
    """Whether a module and the files beside it that belong to it (its templates) can be read."""
    try:
        place = importlib.util.find_spec(module)
        source = Path(str(place and place.origin))
        ast.parse(source.read_text(encoding="utf-8"))
        for path in source.parent.glob(f"{source.stem}.*"):
            path.read_text(encoding="utf-8")
    except (SyntaxError, ValueError, ImportError, OSError):
        return False
    return True


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """The differences of two values, as ``key.path was 1, is 2``. Lists are compared as a whole."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{path}.{key}" if path else str(key)
            yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), inner)
    elif old != new:
        yield f"{path} was {_shown(old)}, is {_shown(new)}"


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "not given"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _signed(here: set[str], wanted: list[str]) -> Iterator[str]:
    for path in sorted(here.symmetric_difference(wanted) - {OUTSIDE}):
        yield f"{path} ({'not wanted any more' if path in here else 'now wanted'})"
