"""Whether the files of a tree that are here are those that the records name, because a tree shows recorded hashes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.jobs.record import kind_of
from semiseg.paths import record_path
from semiseg.proof.audit.verdicts import short
from semiseg.proof.lineage.tree import Node, job_node
from semiseg.proof.provenance import own_link

SHOWN = 5  # files in the text


def other_files(root: Node, whole: bool) -> list[str]:
    """One sentence per file of a tree that is here and is not what a record of the tree names.

    Outputs of jobs, and inputs that other jobs made, are compared by size and sha256; volumes are in neither. A record
    that is here and cannot be used is such a file, too.
    whole: also of nodes that are not printed, as in the JSON output. Raises UserError for a file that cannot be read.
    """
    hashes: dict[str, str] = {}
    nodes = list(_nodes(root, whole))
    faults = {node.facts["path"]: node.facts["fault"] for node in nodes if "fault" in node.facts}
    found = {record_path(path): fault for path, fault in faults.items() if Path(record_path(path)).exists()}
    for side in ("outputs", "inputs"):  # the record of the job that wrote the file comes first
        for node in nodes:
            main = node.facts.get("path", node.facts.get("table"))
            for entry in node.facts.get(side, ()):
                path = entry["path"]
                if path in found or not Path(path).exists() or (side == "inputs" and "record" not in entry):
                    continue
                if fault := _fault(path, entry, hashes):
                    whose = "its record" if side == "outputs" else f"the record of {main}"
                    found[path] = f"{path} is not the file that {whose} names: {fault}"
    return list(found.values())


def doubts(target: Path) -> list[str]:
    """Lines on a table that is shown without its tree, which may lie in another project; none where its record holds.

    They name the outputs of the table's job and the inputs that other jobs made, as ``other_files`` does for a tree,
    or the reason why no record can be used.
    """
    whole = target.absolute()
    with contextlib.chdir(whole.parent.parent):
        link = own_link(Path(*whole.parts[-2:]))
        if link.record is None:
            return [f"{link.fault}, so nothing tells what it was made from"]
        return list(as_lines(other_files(job_node(link), whole=False), target))


def as_lines(sentences: list[str], target: Path) -> Iterator[str]:
    """The sentences for the head of a printed tree."""
    yield from sentences[:SHOWN]
    if len(sentences) > SHOWN:
        yield f"and {len(sentences) - SHOWN} more files"
    if sentences:
        yield f"`semiseg audit {target}` finds what differs"


def _nodes(node: Node, whole: bool) -> Iterator[Node]:
    yield node
    for below in node.below if whole else node.below[: node.shown]:
        yield from _nodes(below, whole)


def _fault(path: str, entry: dict[str, object], hashes: dict[str, str]) -> str | None:
    """What is here in place of a recorded file; None where it is the recorded one."""
    if not Path(path).is_file():
        return f"it is {kind_of(Path(path))}"
    try:
        size = Path(path).stat().st_size
        if size != entry["bytes"]:  # the sha256 of a large file takes long
            return f"expected {entry['bytes']} bytes, found {size}"
        hashes[path] = hashes.get(path) or sha256(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): make it readable and call again") from None
    if hashes[path] == entry["sha256"]:
        return None
    return f"expected sha256 {short(str(entry['sha256']))}, found {short(hashes[path])}"
