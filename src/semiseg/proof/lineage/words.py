"""What the output of each rule tells a person, read from the file itself: one line, and the same as data."""

import csv
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.progress import some
from semiseg.jobs.record import OUTSIDE, read_plain
from semiseg.proof.provenance import Link

Facts = dict[str, Any]
Told = tuple[str, Facts]


def told(link: Link) -> Told:
    """A line about what a job has made, and the facts in it. The link has a record."""
    rule = str(_record(link)["rule"])
    return _TOLD[rule](link) if rule in _TOLD else (rule, {})


def compact(value: Any, longest: int = 200) -> str:
    """Parameters in one line, ``a.b=1``; what is empty is left out."""
    text = " ".join(f"{key}={inner}" for key, inner in _flat(value))
    return text if len(text) <= longest else f"{text[:longest]}..."


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif value not in (None, [], ""):
        yield path, json.dumps(value, ensure_ascii=False, separators=(",", ":")).strip('"')


def _readable(tell: Callable[[Link], Told]) -> Callable[[Link], Told]:
    """A file that is not here, or not as it was, has no words of its own."""

    @functools.wraps(tell)
    def attempt(link: Link) -> Told:
        try:
            if any(Path(entry.path).exists() and not Path(entry.path).is_file() for entry in link.outputs):
                raise ValueError  # a pipe would keep its reader waiting for ever
            return tell(link)
        except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError):
            return f"{_record(link)['rule']}: cannot be read, `semiseg audit {link.main}` tells why", {}

    return attempt


@_readable
def _raw(link: Link) -> Told:
    files = read_plain(Path(link.main))["files"]
    source = _source(link)
    facts = {"source": source, "files": [{"path": name, **entry} for name, entry in files.items()]}
    return f"{len(files)} raw files, {source}", facts


def _source(link: Link) -> str:
    """Where raw files came from, as the parameters and inputs of the rule ``raw`` have it."""
    from semiseg.dataset import get_dataset

    params = _record(link)["params"]
    kind, options = get_dataset(params["dataset"]), params["options"]
    if options["generate"] is not None:
        return f"drawn: {compact(options['generate'])}"
    if options["source"] is not None:
        place = "a folder or archive of theirs" if options["source"] == OUTSIDE else options["source"]
        return f"brought by the user from {place}; published: {kind.source}"
    if params["standin"]:
        return "drawn as a stand-in"
    if any(entry.path.endswith("archives.json") for entry in link.inputs):
        return f"downloaded from {kind.source}"
    return f"brought by the user with `semiseg import`; published: {kind.source}"


@_readable
def _prepared(link: Link) -> Told:
    index = read_plain(Path(link.main))
    steps = [step["step"] for step in _record(link)["params"]["preparation"]["steps"]]
    facts = {"steps": steps, "cases": {case: entry["sha256"] for case, entry in index["cases"].items()}}
    return f"{len(index['cases'])} prepared cases: {', '.join(steps)}", facts


@_readable
def _split(link: Link) -> Told:
    content = read_plain(Path(link.main))
    counts = {part: len(content[part]) for part in ("labelled", "unlabelled", "val", "test")}
    words = ", ".join(f"{count} {part}" for part, count in counts.items())
    return f"split: {words} ({some(content['source'], 2)})", {"counts": counts, "source": content["source"]}


@_readable
def _weights(link: Link) -> Told:
    steps = len(_column(Path(link.main).with_name("history.csv"), "iteration"))
    facts: Facts = {"seed": _record(link).get("seed"), "steps": steps, **_note(Path(link.main))}
    if not steps:
        return f"nothing to train (a control), seed {facts['seed']}", facts
    chosen = f", those of step {facts['iteration']} chosen" if "iteration" in facts else ""
    judged = f", validation Dice {facts['val_dice']:.4f}" if facts.get("val_dice") is not None else ""
    return f"weights after {steps} steps, seed {facts['seed']}{chosen}{judged}", facts


def _note(weights: Path) -> Facts:
    """What training noted in the file of weights; nothing where it was left out."""
    from safetensors import SafetensorError, safe_open

    if not weights.exists():
        return {}
    try:
        with safe_open(weights, framework="numpy") as file:
            note: Facts = json.loads((file.metadata() or {})["semiseg"])
            return note
    except SafetensorError as error:
        raise ValueError(str(error)) from None


@_readable
def _predictions(link: Link) -> Told:
    content = read_plain(Path(link.main))
    return f"predictions of {len(content['cases'])} cases", {"files": content["files"]}


@_readable
def _scores(link: Link) -> Told:
    cases = list(dict.fromkeys(_column(Path(link.main), "case")))
    return f"scores of {len(cases)} cases", {"cases": cases}


@_readable
def _row(link: Link) -> Told:
    params = _record(link)["params"]
    return f"row {params['label']}, rules {params['published']} and sound", {"row": params["method"]}


def _column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [line[name] for line in csv.DictReader(file)]


def _record(link: Link) -> Mapping[str, Any]:
    assert link.record is not None  # asked for by told()
    return link.record


_TOLD: Mapping[str, Callable[[Link], Told]] = {
    "raw": _raw,
    "prepare": _prepared,
    "split": _split,
    "train": _weights,
    "predict": _predictions,
    "evaluate": _scores,
    "row": _row,
}
