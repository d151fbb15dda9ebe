"""Checks that the files of a chain are, byte for byte, those that its records and manifests name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.jobs.manifest import listed_files
from semiseg.jobs.record import OUTSIDE, kind_of, read_plain
from semiseg.proof.audit.hashing import hash_files
from semiseg.proof.audit.verdicts import MISSING, Finding, Note, Verdict, short
from semiseg.proof.crate.absent import WEIGHTS, read_absent
from semiseg.proof.provenance import Link


@dataclass
class Content:
    """The files behind a chain.

    hashes: path -> sha256, None where the file is not here. expected: path -> sha256 by records and manifests.
    away: files that are not here but known by hash: a manifest -> the number of its files, or a single file -> 0.
    """

    hashes: dict[str, str | None]
    expected: dict[str, str]
    away: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def check_content(chain: Sequence[Link], workers: int, quick: bool) -> Content:
    """Hash every file that the records and manifests of a chain name, and compare it with them."""
    makers, expected = _expected(chain)
    lists, broken = _lists(expected)
    named = {str(path): digest for listed in lists.values() for path, digest in listed.items()}
    hashes = hash_files([*expected, *named], workers, quick)
    content = Content(hashes, {**named, **expected})
    left_out = read_absent(Path())
    for path, digest in expected.items():
        content.findings.extend(_compare(path, digest, content, makers[path], left_out))
    for manifest, listed in lists.items():
        if hashes[manifest] == expected[manifest]:
            _check_list(manifest, listed, content, makers[manifest])
    content.findings.extend(
        Finding(Verdict.CHANGED, path, text, makers[path])
        for path, text in broken.items()
        if hashes[path] == expected[path]
    )
    records = {entry.path: link.record["id"] for link in chain if link.record for entry in link.outputs}
    for link in chain:
        _check_sizes(link, content)
        _check_origin(link, records, content)
    return content


def made_from_others(chain: Sequence[Link]) -> list[Finding]:
    """Findings about jobs whose inputs are not what other records of the chain say; by records, without a hash."""
    content = Content({}, _expected(chain)[1])
    records = {entry.path: link.record["id"] for link in chain if link.record for entry in link.outputs}
    for link in chain:
        _check_origin(link, records, content)
    return [found for found in content.findings if found.verdict is Verdict.STALE]


def _expected(chain: Sequence[Link]) -> tuple[dict[str, str], dict[str, str]]:
    """For each file the main output of the job that it belongs to, and its sha256.

    Both are from the record of the job that wrote the file, or else of a job that read it.
    """
    makers: dict[str, str] = {}
    expected: dict[str, str] = {}
    for side in ("outputs", "inputs"):
        for link in chain:
            for entry in getattr(link, side):
                if entry.path != OUTSIDE:
                    expected.setdefault(entry.path, entry.sha256)
                    makers.setdefault(entry.path, link.main)
    return makers, expected


def _lists(paths: Mapping[str, str]) -> tuple[dict[str, dict[Path, str]], dict[str, str]]:
    """The files that each manifest among these paths lists; and the error of each manifest that cannot be read."""
    lists: dict[str, dict[Path, str]] = {}
    broken: dict[str, str] = {}
    for path in paths:
        try:
            if Path(path).exists() and (listed := listed_files(Path(path))):
                lists[path] = listed
        except UserError as error:
            broken[path] = str(error)
    return lists, broken


def _compare(path: str, digest: str, content: Content, maker: str, left_out: Mapping[str, str]) -> Iterator[Finding]:
    found = content.hashes[path]
    if found is None and Path(path).exists():
        yield _no_file(path, digest, maker)
    elif found is None and path.endswith(WEIGHTS) and left_out.get(path) == digest:
        content.away[path] = 0
    elif found is None:
        yield Finding(Verdict.MISSING, path, MISSING, maker, digest)
    elif found != digest:
        yield _changed(path, digest, found, maker)


def _check_sizes(link: Link, content: Content) -> None:
    """Compare recorded sizes. A file with the recorded hash but another size means that the record was made up."""
    for entry in [*link.outputs, *link.inputs]:
        if content.hashes.get(entry.path) == entry.sha256 and (size := Path(entry.path).stat().st_size) != entry.bytes:
            text = f"tells {entry.bytes} bytes of {entry.path}, which has {size}"
            content.findings.append(Finding(Verdict.CHANGED, str(link.path), text, link.main))


def _changed(path: str, expected: str, found: str, maker: str) -> Finding:
    text = f"is not what was made: expected sha256 {short(expected)}, found {short(found)}"
    return Finding(Verdict.CHANGED, path, text, maker, expected, found)


def _no_file(path: str, expected: str, maker: str) -> Finding:
    text = f"is {kind_of(Path(path))}: expected sha256 {short(expected)}"
    return Finding(Verdict.CHANGED, path, text, maker, expected)


def _check_list(manifest: str, listed: Mapping[Path, str], content: Content, maker: str) -> None:
    """Check the files of a manifest. They are a cache, which may be absent as a whole but not in part.

    Predictions that another job has made, as before the way back from an experiment, count as absent.
    """
    others = [path for path, digest in listed.items() if _is_of_another_job(path, digest, content.hashes[str(path)])]
    if others:
        content.away[manifest] = len(others)
        text = f"{len(others)} of the volumes beside it are of other parameters and count as not here"
        content.notes.append(Note(text, (manifest,)))
    lost = [path for path in listed if content.hashes[str(path)] is None]
    no_files = [path for path in lost if path.exists()]
    content.findings.extend(_no_file(str(path), listed[path], maker) for path in no_files)
    absent = [path for path in lost if path not in no_files]
    if len(absent) == len(listed):
        content.away[manifest] = len(absent)
        return
    for path in absent:
        text = f"is missing, though others that {manifest} lists are here"
        content.findings.append(Finding(Verdict.MISSING, str(path), text, maker, listed[path]))
    for path, digest in listed.items():
        found = content.hashes[str(path)]
        if found not in (None, digest) and path not in others:
            content.findings.append(_changed(str(path), digest, str(found), maker))


def _is_of_another_job(path: Path, expected: str, found: str | None) -> bool:
    """Whether a prediction is whole, but not the listed one: the note that its job wrote beside it has its hash."""
    note = path.with_name(f".{path.name.removesuffix('.nii.gz').removesuffix('.prepared')}.json")
    if found in (None, expected) or not note.exists():
        return False
    try:
        content = read_plain(note)
    except UserError:
        return False
    return isinstance(content, dict) and content.get(path.name) == found


def _check_origin(link: Link, records: Mapping[str, str], content: Content) -> None:
    """Check that the inputs of a job are the files, and their records (path -> id) the records, that are here."""
    for entry in link.inputs:
        if entry.path == OUTSIDE:
            text = "was made from a file outside the project, which no record tells about"
            content.findings.append(Finding(Verdict.UNPROVEN, link.main, text, link.main))
        elif content.expected[entry.path] != entry.sha256:
            now = content.expected[entry.path]
            text = f"was made from another {entry.path}: sha256 {short(entry.sha256)}, this one has {short(now)}"
            content.findings.append(Finding(Verdict.STALE, link.main, text, link.main, entry.sha256, now))
        elif entry.record != records.get(entry.path, entry.record):
            content.notes.append(Note(f"made from an equal {entry.path} of another record", (link.main,)))
