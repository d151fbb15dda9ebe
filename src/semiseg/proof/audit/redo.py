"""Do some jobs again in a temporary folder and compare the bits: measuring, predicting or training."""

import logging
import random
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.jobs.environment import device_facts, environment
from semiseg.jobs.record import is_measured
from semiseg.proof.audit.findings import Finding, Verdict, short
from semiseg.proof.provenance import Entry, Link

logger = logging.getLogger(__name__)

RULES = {"score": "evaluate", "predict": "predict", "train": "train"}
SAME_BITS = ("device", "driver", "threads", "processor", "packages")  # what bits may depend on


def redo(links: Sequence[Link], away: Collection[str], what: str, sample: int, workers: int) -> Iterator[Finding]:
    """Do a random sample of these jobs again; what differs, or cannot be done here, is a finding.

    links: jobs with nothing wrong behind them. away: manifests whose files are not here. what: score, predict, train.
    """
    jobs = [link for link in links if link.record and link.record["rule"] == RULES[what]]
    for link in sorted(random.sample(jobs, min(sample, len(jobs))), key=lambda link: link.main):
        missing = [entry.path for entry in link.inputs if entry.path in away]
        if missing:
            text = f"cannot be made again here: the files of {missing[0]} are not here"
            yield Finding(Verdict.UNPROVEN, link.main, text, link.main)
        else:
            yield from _redone(link, what, workers)


def _redone(link: Link, what: str, workers: int) -> Iterator[Finding]:
    logger.info(f"audit: makes {link.main} again")
    with tempfile.TemporaryDirectory() as folder:
        try:
            facts = _MAKERS[what](link, Path(folder), workers)
        except UserError as error:
            yield Finding(Verdict.UNPROVEN, link.main, f"cannot be made again: {error}", link.main)
            return
        differing = [
            entry
            for entry in link.outputs
            if not is_measured(entry.path) and sha256(Path(folder) / Path(entry.path).name) != entry.sha256
        ]
        if not differing:
            logger.info(f"audit: {link.main} came out the same, bit for bit")
        for entry in differing:
            yield _differs(entry, link, sha256(Path(folder) / Path(entry.path).name), facts)


def _differs(entry: Entry, link: Link, found: str, facts: Mapping[str, Any]) -> Finding:
    """Other bits: a change, unless the recorded machine was another one, which may explain them."""
    assert link.record is not None  # chosen by redo
    then, now = link.record.get("environment") or {}, {**environment(), **facts}
    others = [
        f"{name} was {then.get(name)}, is {now.get(name)}" for name in SAME_BITS if then.get(name) != now.get(name)
    ]
    text = f"came out otherwise when it was made again: sha256 {short(entry.sha256)}, now {short(found)}"
    if then.get("deterministic") is False:
        others.append("it was not bound to give the same bits twice")
    if others:
        text += f"; this says little, since the machine differs: {'; '.join(others)}"
    return Finding(Verdict.UNPROVEN if others else Verdict.CHANGED, entry.path, text, link.main, entry.sha256, found)


def _score(link: Link, folder: Path, workers: int) -> dict[str, Any]:
    from semiseg.stages.evaluate import evaluate_run

    read = _inputs(link)
    evaluate_run(read["predictions.json"], read["index.json"], read["manifest.json"], folder / "cases.csv", workers)
    return {}


def _predict(link: Link, folder: Path, workers: int) -> dict[str, Any]:
    from semiseg.stages.predict import predict

    read, machine = _inputs(link), _machine(link)
    split = read["split"]
    predict(_params(link), read["weights.safetensors"], read["index.json"], split, folder / "predictions.json", machine)
    return device_facts(str(machine.device))


def _train(link: Link, folder: Path, workers: int) -> dict[str, Any]:
    from semiseg.stages.train import Outputs, train

    read, machine = _inputs(link), _machine(link)
    out = Outputs(folder / "weights.safetensors", folder / "history.csv", folder / "cost.json")
    train(_params(link), read["index.json"], read["split"], folder / "state", out, machine)
    return device_facts(str(machine.device))


_MAKERS = {"score": _score, "predict": _predict, "train": _train}


def _inputs(link: Link) -> dict[str, Path]:
    """What a job read, by file name; its split by that word."""
    paths = [Path(entry.path) for entry in link.inputs]
    return {"split" if "splits" in path.parts else path.name: path for path in paths}


def _params(link: Link) -> Mapping[str, Any]:
    assert link.record is not None  # chosen by redo
    params: Mapping[str, Any] = link.record["params"]
    return params


def _machine(link: Link) -> Any:
    """The device that is here, with as many threads as were recorded: they are part of the bits."""
    from semiseg.learning.build import choose_runtime

    threads = ((link.record or {}).get("environment") or {}).get("threads")
    return choose_runtime("auto", threads or 1, checkpoint_seconds=float("inf"))
