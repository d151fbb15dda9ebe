"""Notes on source and params.yaml whose bytes differ in nothing that the jobs of a chain depend on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from semiseg.base.texts import counted
from semiseg.jobs.checkout import package_hash
from semiseg.jobs.environment import edited_since, params_hash
from semiseg.proof.audit.verdicts import Note
from semiseg.proof.provenance import Link

Source = Mapping[str, Any]  # of a record, as ``semiseg.jobs.environment.source`` gives it


def notes_on_source(links: Sequence[Link], stale: Collection[str]) -> Iterator[Note]:
    """A note on source and one on params.yaml, where they differ from those of jobs that are not stale.

    stale: main outputs of jobs that were made by other code or parameters, which have findings.
    """
    sources = [link.record.get("source", {}) for link in links if link.record and link.main not in stale]
    if others := _that_differ(sources, "package", package_hash()):
        files, unknown = _edited(others)
        jobs = counted(len(others), "recorded job")
        text = f"source differs from that of {jobs} in nothing that they ran (comments, texts, other modules)"
        yield Note("; ".join([text, *unknown, *(["edited since"] if files else [])]), files)
    if others := _that_differ(sources, "params", params_hash()):
        jobs = counted(len(others), "recorded job")
        yield Note(
            f"params.yaml differs from that of {jobs} in nothing that they depend on (comments, other parameters)"
        )


def _that_differ(sources: Sequence[Source], name: str, now: str | None) -> list[Source]:
    return [source for source in sources if source.get(name, now) != now]


def _edited(sources: Sequence[Source]) -> tuple[tuple[str, ...], list[str]]:
    """The files that were edited since these states, as far as git can tell; and why some may not be known.

    A record holds one hash of the whole package, so only its commit can lead to the files.
    """
    files: set[str] = set()
    unknown: list[str] = []
    states = {(str(source.get("commit")), bool(source.get("dirty"))): source for source in sources}
    for (commit, dirty), source in states.items():
        edited = None if dirty else edited_since(commit)
        files |= set(edited or ())
        if source.get("commit") is None:
            unknown.append("their records name no commit")
        elif dirty:
            unknown.append(f"they ran with edits of commit {commit[:7]} that were not committed")
        elif edited is None:
            unknown.append(f"git does not show their commit {commit[:7]} here")
        elif not edited:
            unknown.append(f"git finds no edit since their commit {commit[:7]}")
    return tuple(sorted(files)), [f"which files were edited is not known, because {reason}" for reason in unknown]
