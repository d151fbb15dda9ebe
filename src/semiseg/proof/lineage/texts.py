"""A description of each job for readers, taken from its output file: one line of text, and the same as data."""

import csv
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.texts import some
from semiseg.jobs.record import OUTSIDE, read_plain
from semiseg.proof.provenance import Link

Facts = dict[str, Any]
Text = tuple[str, Facts]


def describe(link: Link) -> Text:
    """One line about the output of a job, and the facts in it. The link must have a record."""
    rule = str(_record(link)["rule"])
    return DESCRIPTIONS[rule](link) if rule in DESCRIPTIONS else (rule, {})


def compact(value: Any, longest: int = 200) -> str:
    """Parameters in one line, as ``a.b=1``. Empty values are left out."""
    text = " ".join(f"{key}={inner}" for key, inner in _flat(value))
    return text if len(text) <= longest else f"{text[:longest]}..."


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif value not in (None, [], ""):
        yield path, json.dumps(value, ensure_ascii=False, separators=(",", ":")).strip('"')


def _or_unreadable(make: Callable[[Link], Text]) -> Callable[[Link], Text]:
    """The same function, but for a missing or damaged file the line points to the audit."""

    @functools.wraps(make)
    def attempt(link: Link) -> Text:
        try:
            if any(Path(entry.path).exists() and not Path(entry.path).is_file() for entry in link.outputs):
                raise ValueError  # reading a pipe would never end
            return make(link)
        except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError):
            return f"{_record(link)['rule']}: cannot be read, `semiseg audit {link.main}` tells why", {}

    return attempt


@_or_unreadable
def _raw(link: Link) -> Text:
    files = read_plain(Path(link.main))["files"]
    source = _source(link)
    facts = {"source": source, "files": [{"path": name, **entry} for name, entry in files.items()]}
    return f"{len(files)} raw files, {source}", facts


def _source(link: Link) -> str:
    """Where raw files came from, by the parameters and inputs of the rule ``raw``."""
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


@_or_unreadable
def _prepared(link: Link) -> Text:
    index = read_plain(Path(link.main))
    steps = [step["step"] for step in _record(link)["params"]["preparation"]["steps"]]
    facts = {"steps": steps, "cases": {case: entry["sha256"] for case, entry in index["cases"].items()}}
    return f"{len(index['cases'])} prepared cases: {', '.join(steps)}", facts


@_or_unreadable
def _split(link: Link) -> Text:
    content = read_plain(Path(link.main))
    counts = {part: len(content[part]) for part in ("labelled", "unlabelled", "val", "test")}
    sizes = ", ".join(f"{count} {part}" for part, count in counts.items())
    return f"split: {sizes} ({some(content['source'], 2)})", {"counts": counts, "source": content["source"]}


@_or_unreadable
def _weights(link: Link) -> Text:
    steps = len(_column(Path(link.main).with_name("history.csv"), "iteration"))
    facts: Facts = {"seed": _record(link).get("seed"), "steps": steps, **_metadata(Path(link.main))}
    if (name := _record(link)["params"].get("weights")) is not None:
        return f"imported weights {name}, nothing was trained", facts
    if not steps:
        return f"nothing to train (a control), seed {facts['seed']}", facts
    chosen = f", those of step {facts['iteration']} chosen" if "iteration" in facts else ""
    validated = f", validation Dice {facts['val_dice']:.4f}" if facts.get("val_dice") is not None else ""
    others = facts.get("checkpoints", {})
    further = "".join(f"; {name}: those of step {note['iteration']}" for name, note in others.items())
    return f"weights after {steps} steps, seed {facts['seed']}{chosen}{validated}{further}", facts


@_or_unreadable
def _brought(link: Link) -> Text:
    facts = _metadata(Path(link.main))
    if facts.get("standin"):
        return "nothing, in place of weights that a user would bring (a rehearsal)", facts
    named = {one["sha256"]: one["file"] for one in (_record(link).get("environment") or {}).get("brought", ())}
    files = [f"{named.get(one['sha256'], 'a file')} ({one['sha256'][:12]})" for one in facts.get("brought", ())]
    return f"weights brought by the user with `semiseg import-weights` from {some(files)}", facts


def _metadata(weights: Path) -> Facts:
    """The metadata that training wrote into a file of weights; nothing where the file was left out of a crate."""
    from safetensors import SafetensorError, safe_open

    if not weights.exists():
        return {}
    try:
        with safe_open(weights, framework="numpy") as file:
            metadata: Facts = json.loads((file.metadata() or {})["semiseg"])
            return metadata
    except SafetensorError as error:
        raise ValueError(str(error)) from None


@_or_unreadable
def _predictions(link: Link) -> Text:
    content = read_plain(Path(link.main))
    shown = _record(link)["params"].get("checkpoint")
    by = "" if shown is None else f" by the checkpoint {shown}"
    return f"predictions of {len(content['cases'])} cases{by}", {"files": content["files"]}


@_or_unreadable
def _scores(link: Link) -> Text:
    cases = list(dict.fromkeys(_column(Path(link.main), "case")))
    return f"scores of {len(cases)} cases", {"cases": cases}


@_or_unreadable
def _row(link: Link) -> Text:
    params = _record(link)["params"]
    return f"row {params['label']}, rules {params['published']} and sound", {"row": params["method"]}


def _column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [line[name] for line in csv.DictReader(file)]


def _record(link: Link) -> Mapping[str, Any]:
    assert link.record is not None  # describe() requires a record
    return link.record


DESCRIPTIONS: Mapping[str, Callable[[Link], Text]] = {
    "raw": _raw,
    "weights": _brought,
    "prepare": _prepared,
    "split": _split,
    "train": _weights,
    "predict": _predictions,
    "evaluate": _scores,
    "row": _row,
}
