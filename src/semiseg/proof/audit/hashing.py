"""Hashes many files at once. A quick audit takes the cached hashes of files that have not changed since."""

import stat
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.base.progress import ByteProgress
from semiseg.proof.audit.cache import recall, remember

CACHE = "hashes"
# A file that was written just before it was hashed may change again without a new modification time.
SETTLED_NS = 2_000_000_000
Mark = list[int]  # size in bytes, mtime and ctime in ns, inode number


def hash_files(paths: Iterable[str], workers: int, quick: bool) -> dict[str, str | None]:
    """sha256 of each path, None where there is no file. Several files are hashed at once, with progress in bytes.

    quick: a file that has the size, times and inode of its cached hash is not read again. New hashes are cached, where
    the project can be written to.
    """
    marks = {path: mark(Path(path)) for path in dict.fromkeys(paths)}
    known = recall(CACHE)
    found: dict[str, str | None] = {
        path: known[path]["sha256"] for path, now in marks.items() if quick and now and _is_known(known.get(path), now)
    }
    there = [path for path, now in marks.items() if now is not None and path not in found]
    if there:
        found |= _hashed(there, {path: now[0] for path, now in marks.items() if now}, workers)
        new = {path: {"mark": marks[path], "sha256": found[path]} for path in there if is_settled(marks[path])}
        remember(CACHE, {**known, **new})
    return {path: found.get(path) for path in marks}


def mark(path: Path) -> Mark | None:
    """Size, times and inode of a file: equal values mean an unchanged file. None where there is no regular file.

    Pipes and devices count as no file, because reading them may never end.
    """
    try:
        facts = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]


def _hashed(paths: list[str], sizes: dict[str, int], workers: int) -> dict[str, str | None]:
    """Hashes by path. Threads are enough here, because hashing releases Python's global lock."""
    hashes: dict[str, str | None] = {}
    with ByteProgress("audit", sum(sizes[path] for path in paths)) as bar, ThreadPoolExecutor(max(workers, 1)) as pool:
        for path, digest in zip(paths, pool.map(_sha256, paths), strict=True):
            hashes[path] = digest
            bar.advance(sizes[path])
    return hashes


def _sha256(path: str) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): make it readable and audit again") from None


def is_settled(mark: Mark | None, read: int | None = None) -> bool:
    """Whether a file was last written so long before it was read that a further change would show in its times.

    read: the time when it was read at the earliest, in ns since 1970; default: now.
    """
    return mark is not None and max(mark[1], mark[2]) < (time.time_ns() if read is None else read) - SETTLED_NS


def _is_known(entry: Any, now: Mark) -> bool:
    return isinstance(entry, dict) and entry.get("mark") == now and isinstance(entry.get("sha256"), str)
