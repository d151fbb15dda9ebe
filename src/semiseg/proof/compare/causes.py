"""Why two builds of a table differ: the first jobs whose outputs differ, and what their records have not in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semiseg.base.texts import some
from semiseg.jobs.record import Record, is_measured
from semiseg.paths import RAW, WEIGHTS
from semiseg.proof.compare.sides import Side
from semiseg.proof.provenance import Link

KINDS = ("input", "parameter", "code", "seed", "device", "processor", "library", "machine")
MACHINE = {  # keys of a record's environment, which kind they are, and their words
    "device": ("device", "device"),
    "driver": ("device", "driver"),
    "cuda": ("device", "CUDA"),
    "processor": ("processor", "processor"),
    "threads": ("machine", "number of threads"),
    "python": ("library", "Python"),
    "platform": ("machine", "platform"),
}
ABSENT = "not there"  # a parameter or package that a record does not name
SHOWN = 4  # parameters, modules or jobs that a sentence names


@dataclass(frozen=True)
class Cause:
    """A difference of two records. kind: one of ``KINDS``. text: what differs, in words. rules: where it is found."""

    kind: str
    text: str
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Origins:
    """causes: of the first jobs that differ, in the order of ``KINDS``. jobs: these jobs, by their main outputs.

    whole: whether the records of both chains are here; else only the tables' own records may have been compared.
    nondeterministic: whether such a job was not bound to give the same bits again.
    """

    causes: tuple[Cause, ...]
    jobs: tuple[str, ...]
    whole: bool
    nondeterministic: bool


def origins(first: Side, second: Side) -> Origins:
    """The differences between the records behind two builds.

    A job is an origin where its outputs differ though it read the same inputs. Where records behind the tables are
    missing, and no origin is found, the tables' own records are compared.
    """
    pairs = _pairs(first, second)
    found = [(one, other) for one, other in pairs if _is_origin(one, other)]
    whole = all(link.record is not None for side in (first, second) for link in side.links)
    if not found and not whole:
        found = [(first.links[-1], second.links[-1])]
    causes = _merged(cause for one, other in found for cause in _differences(one, other))
    alone = [*_alone(first, second, "A"), *_alone(second, first, "B")]
    open_ended = any(_environment(link.record).get("deterministic") is False for pair in found for link in pair)
    return Origins((*causes, *alone), tuple(one.main for one, _ in found), whole, open_ended)


def surroundings(first: Side, second: Side) -> list[Cause]:
    """What differs in code, machine and libraries of any job, though it may have changed no bit."""
    kinds = ("code", "device", "processor", "library", "machine")
    found = (cause for one, other in _pairs(first, second) for cause in _differences(one, other))
    return [cause for cause in _merged(found) if cause.kind in kinds]


def _pairs(first: Side, second: Side) -> list[tuple[Link, Link]]:
    """Jobs that both sides have a record of."""
    others = {_key(link, second): link for link in second.links if link.record}
    return [(link, others[key]) for link in first.links if link.record and (key := _key(link, first)) in others]


def _key(link: Link, side: Side) -> str:
    """A job's main output without the table's name, by which jobs of two tables are matched."""
    return _place(link.main, side)


def _place(path: str, side: Side) -> str:
    head = side.target.removesuffix(".csv")
    is_own = path.startswith((f"{head}.", f"{head}/"))
    return f"results/TABLE{path.removeprefix(head)}" if is_own else path


def _contents(link: Link, name: str) -> Mapping[str, str]:
    """Recorded files of a job and their sha256, without measured ones."""
    entries = link.inputs if name == "inputs" else link.outputs
    return {entry.path: entry.sha256 for entry in entries if not is_measured(entry.path)}


def _is_origin(one: Link, other: Link) -> bool:
    outputs = [sorted(_contents(link, "outputs").values()) for link in (one, other)]
    inputs = [sorted(_contents(link, "inputs").values()) for link in (one, other)]
    return outputs[0] != outputs[1] and inputs[0] == inputs[1]


def _alone(side: Side, other: Side, name: str) -> Iterator[Cause]:
    """Jobs behind one table alone, where all records of the other one are here."""
    if any(link.record is None for link in other.links):
        return
    known = {_key(link, other) for link in other.links}
    mains = [link.main for link in side.links if link.record and _key(link, side) not in known]
    if mains:
        yield Cause("input", f"only {name} was made from {some(mains, SHOWN)}", ())


def _differences(one: Link, other: Link) -> Iterator[Cause]:
    """What two records of one job have not in common, inputs and outputs left out.

    Raw files and weights that the user brought differ by themselves, whatever machine has listed them.
    """
    first, second = one.record, other.record
    if first is None or second is None:
        return
    rules = (str(first["rule"]),)
    found = [*_parameters(first, second, rules), *_code(first, second, rules), *_machine(first, second, rules)]
    brought = one.main.startswith((RAW.partition("{")[0], WEIGHTS.partition("{")[0]))
    if brought and _contents(one, "outputs") != _contents(other, "outputs"):
        yield Cause("input", f"other files: {one.main} lists other contents", rules)
        found = [cause for cause in found if cause.kind == "parameter"]
    yield from found


def _parameters(first: Record, second: Record, rules: tuple[str, ...]) -> Iterator[Cause]:
    values = [dict(_flat(record["params"])) for record in (first, second)]
    keys = [key for key in dict.fromkeys([*values[0], *values[1]]) if values[0].get(key) != values[1].get(key)]
    if keys:
        texts = [
            f"{key} is {_shown(values[0].get(key), ABSENT)} in A, {_shown(values[1].get(key), ABSENT)} in B"
            for key in keys
        ]
        yield Cause("parameter", f"other parameters: {some(texts, SHOWN)}", rules)
    if first.get("seed") != second.get("seed"):
        yield Cause("seed", f"another seed: {first.get('seed')} in A, {second.get('seed')} in B", rules)


def _code(first: Record, second: Record, rules: tuple[str, ...]) -> Iterator[Cause]:
    if first["code"]["hash"] == second["code"]["hash"]:
        return
    one, other = first["code"]["modules"], second["code"]["modules"]
    names = [name for name in sorted({**one, **other}) if one.get(name) != other.get(name)]
    yield Cause("code", f"other code: {some(names, SHOWN)}", rules)


def _machine(first: Record, second: Record, rules: tuple[str, ...]) -> Iterator[Cause]:
    one, other = _environment(first), _environment(second)
    for key, (kind, word) in MACHINE.items():
        if one.get(key) != other.get(key):
            yield Cause(kind, f"another {word}: {_shown(one.get(key))} in A, {_shown(other.get(key))} in B", rules)
    packages, others = one.get("packages") or {}, other.get("packages") or {}
    for name in sorted({**packages, **others}):
        if packages.get(name) != others.get(name):
            versions = f"{_shown(packages.get(name), ABSENT)} in A, {_shown(others.get(name), ABSENT)} in B"
            yield Cause("library", f"another version of {name}: {versions}", rules)


def _environment(record: Record | None) -> Mapping[str, Any]:
    return (record or {}).get("environment") or {}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters by their paths; lists count as one value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _shown(value: Any, absent: str = "unknown") -> str:
    text = absent if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _merged(causes: Iterator[Cause]) -> Sequence[Cause]:
    """Equal causes once, with all their rules, in the order of ``KINDS``."""
    rules: dict[tuple[str, str], dict[str, None]] = {}
    for cause in causes:
        rules.setdefault((cause.kind, cause.text), {}).update(dict.fromkeys(cause.rules))
    found = [Cause(kind, text, tuple(own)) for (kind, text), own in rules.items()]
    return sorted(found, key=lambda cause: KINDS.index(cause.kind))
