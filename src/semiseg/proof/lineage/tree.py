"""A chain told to a person: a node per job, what it has made and from what; the same as plain data."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from semiseg.base.progress import some
from semiseg.proof.audit.findings import short
from semiseg.proof.lineage.words import Facts, compact, told
from semiseg.proof.provenance import Link

FILES_SHOWN = 4
CIRCUMSTANCES = ("params", "code", "source", "environment", "seed")
ORDER = ("results/", "data/splits/", "data/prepared/", "data/raw/")  # below a job, what was made last stands first


@dataclass(frozen=True)
class Node:
    """A node of the tree. text: its line; place: a second one. facts: the same as data.

    shown: how many of the nodes below are printed; the data has all of them. name: of these, in the data.
    """

    text: str
    place: str = ""
    facts: Facts = field(default_factory=dict)
    below: Sequence["Node"] = ()
    shown: int | None = None
    name: str = "made_from"

    def as_data(self) -> Facts:
        """The node and all below it as JSON has it."""
        data = dict(self.facts)
        for node in self.below:
            if node.facts or node.below:
                data.setdefault(node.facts.get("list", self.name), []).append(node.as_data())
        return data


class Teller:
    """Tells the jobs of a chain; each is told in full where it comes first, and by name after that.

    leaves: main output of a job -> what else to tell below it.
    """

    def __init__(self, links: Sequence[Link], leaves: Mapping[str, Sequence[Node]] | None = None) -> None:
        self._makers = {link.main: link for link in links}
        self._makers |= {entry.path: link for link in links for entry in link.outputs}
        self._leaves = leaves or {}
        self._told: set[str] = set()
        self._behind = functools.cache(self._find_behind)

    def tell(self, path: str) -> Node:
        """The node of the job that made a file, with all that the job was made from."""
        link = self._makers[path]
        if link.record is None:
            return Node(f"no usable record: {link.fault}", link.main, {"path": link.main, "fault": link.fault})
        if link.main in self._told:
            return Node(f"{link.main}: as above", "", {"path": link.main, "record": link.record["id"]})
        self._told.add(link.main)
        below = [self.tell(main) for main in self._direct(link)]
        leaves = [*self._leaves.get(link.main, ()), *_raw_files(link)]
        alone = told_alone(link)
        return Node(alone.text, alone.place, alone.facts, (*leaves, *below))

    def _direct(self, link: Link) -> list[str]:
        """Jobs that this one was made from, without those that lie behind another of them."""
        mains = {self._makers[path].main for path in link.sources if path in self._makers}
        further = {main for other in mains for main in self._behind(other) if main != other}
        ranks = {main: next((i for i, head in enumerate(ORDER) if main.startswith(head)), 0) for main in mains}
        return sorted(mains - further, key=lambda main: (ranks[main], main))

    def _find_behind(self, main: str) -> frozenset[str]:
        sources = {self._makers[path].main for path in self._makers[main].sources if path in self._makers}
        return frozenset([main]).union(*(self._behind(source) for source in sources if source != main))


def told_alone(link: Link) -> Node:
    """The node of a job without what it was made from."""
    assert link.record is not None  # the others are told by their fault
    words, facts = told(link)
    digest = next(entry.sha256 for entry in link.outputs)
    whole = {
        "rule": link.record["rule"],
        "path": link.main,
        "record": link.record["id"],
        "outputs": [vars_of(entry) for entry in link.outputs],
        "inputs": [vars_of(entry) for entry in link.inputs],
        **facts,
    }
    return Node(words, f"{link.main}  sha256 {short(digest)}  record {short(link.record['id'])}", whole)


def vars_of(entry: Any) -> Facts:
    """An entry of a record as data, without what is not given."""
    return {name: value for name, value in vars(entry).items() if value is not None}


def circumstances(links: Iterable[Link]) -> Node:
    """Code, parameters and machine of the jobs, by rule."""
    rules: dict[str, list[Link]] = {}
    for link in links:
        if link.record is not None:
            rules.setdefault(link.record["rule"], []).append(link)
    facts = {"list": "code_and_parameters"}
    return Node("code and parameters", "", facts, [_by_rule(rule, jobs) for rule, jobs in rules.items()], name="rules")


def _by_rule(rule: str, jobs: Sequence[Link]) -> Node:
    records = [job.record for job in jobs if job.record is not None]
    code = some([short(one) for one in sorted({record["code"]["hash"] for record in records})], 3)
    modules = {name for record in records for name in record["code"]["modules"]}
    commits = some(sorted({_commit(record.get("source") or {}) for record in records}), 2)
    devices = sorted({str((record.get("environment") or {}).get("device")) for record in records} - {"None"})
    where = f", on {some(devices, 2)}" if devices else ""
    told_jobs = [
        {"path": job.main, **{name: record.get(name) for name in CIRCUMSTANCES}}
        for job, record in zip(jobs, records, strict=True)
    ]
    text = f"{rule}: code {code} ({len(modules)} modules, {commits}){where}"
    return Node(text, compact(records[0]["params"]), {"rule": rule, "jobs": told_jobs})


def _commit(source: Mapping[str, Any]) -> str:
    if source.get("commit") is None:
        return "no commit known"
    return f"commit {source['commit'][:7]}{', changed' if source.get('dirty') else ''}"


def _raw_files(link: Link) -> list[Node]:
    """Raw files with their hashes; they stand in the job's own data already."""
    if link.record is None or link.record["rule"] != "raw":
        return []
    files = [Node(f"{entry['path']}  sha256 {short(entry['sha256'])}") for entry in told(link)[1].get("files", [])]
    return files[:FILES_SHOWN] + ([Node(f"and {len(files) - FILES_SHOWN} more")] if len(files) > FILES_SHOWN else [])
