"""A chain of jobs as a tree for readers: a node per job, with its outputs and inputs; and the same as plain data."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semiseg.base.texts import some
from semiseg.proof.audit.verdicts import short
from semiseg.proof.lineage.texts import Facts, compact, describe
from semiseg.proof.provenance import Entry, Link

FILES_SHOWN = 4
OF_EACH_JOB = ("params", "code", "source", "environment", "seed")  # parts of a record that are listed by rule
# of the inputs of a job: the latest stage first
ORDER = ("results/", "data/weights/", "data/splits/", "data/prepared/", "data/raw/")


@dataclass(frozen=True)
class Node:
    """A node of the tree.

    text: its first line. place: its second line, if any. facts: the same content as data.
    below: its children; shown: how many of them are printed (None: all), while the data has all of them.
    name: the key of the children in the data.
    """

    text: str
    place: str = ""
    facts: Facts = field(default_factory=dict)
    below: Sequence["Node"] = ()
    shown: int | None = None
    name: str = "made_from"

    def as_data(self) -> Facts:
        """The node and all nodes below it, as in the JSON output."""
        data = dict(self.facts)
        for node in self.below:
            if node.facts or node.below:
                data.setdefault(node.facts.get("list", self.name), []).append(node.as_data())
        return data


class TreeBuilder:
    """Builds the tree of a chain. A job has its full node where it comes first, and only its name in later places.

    leaves: main output of a job -> further nodes to put below that job.
    """

    def __init__(self, links: Sequence[Link], leaves: Mapping[str, Sequence[Node]] | None = None) -> None:
        self._makers = {link.main: link for link in links}
        self._makers |= {entry.path: link for link in links for entry in link.outputs}
        self._leaves = leaves or {}
        self._built: set[str] = set()
        self._ancestors = functools.cache(self._find_ancestors)

    def build(self, path: str) -> Node:
        """The node of the job that made a file, with the nodes of all jobs that this job was made from."""
        link = self._makers[path]
        if link.record is None:
            text = f"no usable record: {link.fault}" if Path(link.main).exists() else str(link.fault)
            return Node(text, link.main, {"path": link.main, "fault": link.fault})
        if link.main in self._built:
            return Node(f"{link.main}: as above", "", {"path": link.main, "record": link.record["id"]})
        self._built.add(link.main)
        below = [self.build(main) for main in self._direct_sources(link)]
        leaves = [*self._leaves.get(link.main, ()), *_raw_files(link)]
        alone = job_node(link)
        return Node(alone.text, alone.place, alone.facts, (*leaves, *below))

    def _direct_sources(self, link: Link) -> list[str]:
        """Main outputs of the jobs that made the inputs, without jobs that another of these was made from."""
        mains = {self._makers[path].main for path in link.sources if path in self._makers}
        indirect = {main for other in mains for main in self._ancestors(other) if main != other}
        ranks = {main: next((i for i, head in enumerate(ORDER) if main.startswith(head)), 0) for main in mains}
        return sorted(mains - indirect, key=lambda main: (ranks[main], main))

    def _find_ancestors(self, main: str) -> frozenset[str]:
        """Main outputs of a job and of all jobs that it was made from."""
        sources = {self._makers[path].main for path in self._makers[main].sources if path in self._makers}
        return frozenset([main]).union(*(self._ancestors(source) for source in sources if source != main))


def job_node(link: Link) -> Node:
    """The node of a job with a record, without the nodes below it."""
    assert link.record is not None  # a link without a record has a node with its fault
    text, facts = describe(link)
    digest = next(entry.sha256 for entry in link.outputs)
    whole = {
        "rule": link.record["rule"],
        "path": link.main,
        "record": link.record["id"],
        "outputs": [entry_data(entry) for entry in link.outputs],
        "inputs": [entry_data(entry) for entry in link.inputs],
        **facts,
    }
    return Node(text, f"{link.main}  sha256 {short(digest)}  record {short(link.record['id'])}", whole)


def entry_data(entry: Entry) -> Facts:
    """An entry of a record as data, without the fields that it lacks."""
    return {name: value for name, value in vars(entry).items() if value is not None}


def code_and_parameters(links: Iterable[Link]) -> Node:
    """A node with code, parameters and machine of the jobs, by rule."""
    rules: dict[str, list[Link]] = {}
    for link in links:
        if link.record is not None:
            rules.setdefault(link.record["rule"], []).append(link)
    nodes = [_rule_node(rule, jobs) for rule, jobs in rules.items()]
    return Node("code and parameters", "", {"list": "code_and_parameters"}, nodes, name="rules")


def _rule_node(rule: str, jobs: Sequence[Link]) -> Node:
    records = [job.record for job in jobs if job.record is not None]
    code = some([short(one) for one in sorted({record["code"]["hash"] for record in records})], 3)
    modules = {name for record in records for name in record["code"]["modules"]}
    commits = some(sorted({_commit(record.get("source") or {}) for record in records}), 2)
    devices = sorted({str((record.get("environment") or {}).get("device")) for record in records} - {"None"})
    where = f", on {some(devices, 2)}" if devices else ""
    listed = [
        {"path": job.main, **{name: record.get(name) for name in OF_EACH_JOB}}
        for job, record in zip(jobs, records, strict=True)
    ]
    text = f"{rule}: code {code} ({len(modules)} modules, {commits}){where}"
    return Node(text, compact(records[0]["params"]), {"rule": rule, "jobs": listed})


def _commit(source: Mapping[str, Any]) -> str:
    if source.get("commit") is None:
        return "no commit known"
    return f"commit {source['commit'][:7]}{', changed' if source.get('dirty') else ''}"


def _raw_files(link: Link) -> list[Node]:
    """Nodes with the raw files and their hashes. They have no data, because the data of the job lists them already."""
    if link.record is None or link.record["rule"] != "raw":
        return []
    files = [Node(f"{entry['path']}  sha256 {short(entry['sha256'])}") for entry in describe(link)[1].get("files", [])]
    return files[:FILES_SHOWN] + ([Node(f"and {len(files) - FILES_SHOWN} more")] if len(files) > FILES_SHOWN else [])
