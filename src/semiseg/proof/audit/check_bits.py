"""Repeats a sample of jobs (scoring, prediction, training) in a temporary folder, and compares the bits."""

import logging
import random
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.jobs.environment import environment
from semiseg.jobs.record import Record, is_measured
from semiseg.proof.audit.verdicts import Finding, Verdict, short
from semiseg.proof.provenance import Entry, Link
from semiseg.stages.execution import repeat

logger = logging.getLogger(__name__)

RULES = {"score": "evaluate", "predict": "predict", "train": "train"}  # what can be repeated -> its rule
SAME_BITS = ("device", "driver", "threads", "processor", "packages")  # what the bits of a result may depend on


def redo(links: Sequence[Link], away: Collection[str], what: str, sample: int, workers: int) -> Iterator[Finding]:
    """Repeat a random sample of these jobs. A job that differs, or cannot be repeated here, gives a finding.

    links: jobs with nothing wrong behind them. away: manifests whose files are not here. what: score, predict, train.
    """
    jobs = [(link, link.record) for link in links if link.record and link.record["rule"] == RULES[what]]
    for link, record in sorted(random.sample(jobs, min(sample, len(jobs))), key=lambda job: job[0].main):
        missing = [entry.path for entry in link.inputs if entry.path in away]
        if missing:
            text = f"cannot be made again here: the files of {missing[0]} are not here"
            yield Finding(Verdict.UNPROVEN, link.main, text, link.main)
        else:
            yield from _repeated(link, record, workers)


def _repeated(link: Link, record: Record, workers: int) -> Iterator[Finding]:
    """Repeat a job and compare its outputs with the recorded ones, but for those that hold measured times."""
    logger.info(f"audit: makes {link.main} again")
    with tempfile.TemporaryDirectory() as folder:
        try:
            facts = repeat(record, Path(folder), workers)
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
            yield _difference(entry, link.main, record, sha256(Path(folder) / Path(entry.path).name), facts)


def _difference(entry: Entry, main: str, record: Record, found: str, facts: Mapping[str, Any]) -> Finding:
    """The finding about an output with other bits: changed, or unproven where another machine may explain them."""
    then, now = record.get("environment") or {}, {**environment(), **facts}
    others = [
        f"{name} was {then.get(name)}, is {now.get(name)}" for name in SAME_BITS if then.get(name) != now.get(name)
    ]
    text = f"came out otherwise when it was made again: sha256 {short(entry.sha256)}, now {short(found)}"
    if then.get("deterministic") is False:
        others.append("it was not bound to give the same bits twice")
    if others:
        text += f"; this proves little, because the machine differs: {'; '.join(others)}"
    return Finding(Verdict.UNPROVEN if others else Verdict.CHANGED, entry.path, text, main, entry.sha256, found)
