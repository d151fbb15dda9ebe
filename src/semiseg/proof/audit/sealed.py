"""The records of an audit. A quick one does not check the seals of those that an earlier audit has found whole."""

from collections.abc import Iterable
from pathlib import Path

from semiseg.proof.audit.cache import recall, remember
from semiseg.proof.audit.hashing import is_settled, mark
from semiseg.proof.provenance import Link, Records

CACHE = "records"


def records(quick: bool) -> Records:
    """The records of the working folder."""
    known = recall(CACHE) if quick else {}
    return Records(lambda path: path in known and known[path] == mark(Path(path)))


def remember_whole(links: Iterable[Link], began: int) -> None:
    """Cache which records these links were read from, for a quick audit. began: when that was, in ns since 1970."""
    marks = {str(link.path): mark(link.path) for link in links if link.record is not None}
    known = recall(CACHE)
    now = {**known, **{path: one for path, one in marks.items() if is_settled(one, began)}}
    if now != known:
        remember(CACHE, now)
