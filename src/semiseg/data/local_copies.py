"""Copies of stored cases on a node's own disk, so that trainings do not read their crops over the network.

The copies are named by the sha256 that the index records, checked by it, and shared by all jobs of a user on the node,
one after another too. They change no result: a case whose copy cannot be made or read is read where it was stored.
"""

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import atomic, sha256, sweep
from semiseg.base.texts import counted
from semiseg.data.store import CaseFile, Copied
from semiseg.jobs.lock import held

BLOCK = 2**22  # bytes
UNUSED_SECONDS = 7 * 24 * 3600.0  # after which a copy is deleted when the next ones are made
GIB = 2**30

logger = logging.getLogger(__name__)


class DamagedError(UserError):
    """A stored case has not the content that its index records."""


def with_copies(cases: Mapping[Path, str], place: str) -> dict[Path, CaseFile]:
    """Copy stored cases, each with its recorded sha256, to the folder ``place`` of this node's own disk.

    place: an absolute path, in which variables such as ``$TMPDIR`` are replaced. The copies lie in a folder of the
    user's inside of it. One job at a time makes copies, and the others wait for it. Copies that no job has taken for a
    week are deleted. Where a copy cannot be made (no such folder, a full disk), one line is logged, and the case is
    read where it is stored. Raises UserError for a place that is no absolute path, and for a damaged stored case.
    """
    files: dict[Path, CaseFile] = {path: path for path in cases}
    folder = Path(os.path.expandvars(place)).expanduser()
    if not folder.is_absolute() and not place.startswith(("$", "~")):
        raise UserError(f"local_disk is {place}, expected an absolute path such as $TMPDIR: correct the profile")
    copies = folder / f"semiseg-cases-{os.getuid()}"
    try:
        _make_folder(folder, copies)
        with held(copies / ".lock", f"copies of cases in {copies}"):
            _tidy(copies)
            for path, content in cases.items():
                copy = copies / f"{content}.h5"
                _copy(path, content, copy)
                files[path] = Copied(path, copy)
    except DamagedError:
        raise
    except (UserError, OSError) as error:
        logger.warning(
            f"warning: {_made(files)} of {counted(len(files), 'case')} have copies in {copies}, the others are read "
            f"where they are stored, with the same bits: {error}"
        )
    else:
        size = sum(path.stat().st_size for path in cases) / GIB
        logger.info(f"{counted(len(files), 'case')} are read from their copies in {copies}, {size:.1f} GiB")
    return files


def _make_folder(folder: Path, copies: Path) -> None:
    """Make the user's folder, which nobody else can write. A disk that is not here is not replaced by a new folder."""
    if not folder.is_dir():
        raise UserError(f"this node has no folder {folder}, so correct local_disk in the profile if it should have one")
    copies.mkdir(mode=0o700, exist_ok=True)
    if copies.is_symlink() or copies.stat().st_uid != os.getuid():
        raise UserError(f"{copies} belongs to somebody else, so name another folder as local_disk in the profile")


def _tidy(copies: Path) -> None:
    """Delete what killed jobs left, and copies that no job has taken for long. A training that reads one goes on."""
    sweep(copies)
    for copy in copies.glob("*.h5"):
        if time.time() - copy.stat().st_mtime > UNUSED_SECONDS:
            copy.unlink(missing_ok=True)


def _copy(path: Path, content: str, copy: Path) -> None:
    """Make a copy with this sha256, unless it is there; note that it was taken. Raises DamagedError for another one."""
    if copy.is_file() and sha256(copy) == content:
        os.utime(copy)
        return
    found = hashlib.sha256()
    with atomic(copy) as draft, path.open("rb") as source, draft.open("wb") as target:
        while block := source.read(BLOCK):
            found.update(block)
            target.write(block)
        if found.hexdigest() != content:
            raise DamagedError(
                f"{path} is damaged: its sha256 is {found.hexdigest()[:12]}, and the index beside it records "
                f"{content[:12]}: delete it, and the next call makes it again"
            )


def _made(files: Mapping[Path, CaseFile]) -> int:
    return sum(isinstance(file, Copied) for file in files.values())
