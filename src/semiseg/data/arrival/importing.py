"""Import of a user's copy (folder, or zip, tar, tar.gz) into a raw folder.

Archives in a folder are opened, and archives in an archive, one level deep; the log names those that are not read. All
files are first copied into a staging folder, so that a source which is refused, cut short or too large for the disk
leaves the raw folder as it was.
"""

import contextlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from semiseg.base.errors import UserError
from semiseg.base.file_names import shown, utf8
from semiseg.base.files import atomic, is_full
from semiseg.base.progress import ByteProgress
from semiseg.base.texts import some
from semiseg.data.arrival.archive_kinds import START, WEB_PAGE, is_read, kind_of, may_be_archive, unread
from semiseg.data.arrival.archives import CHUNK, NOT_UTF8, Member, members
from semiseg.data.raw_files import is_leftover, walk

logger = logging.getLogger(__name__)

# names that promise an archive: one that is damaged is refused, and not passed over
PROMISING = re.compile(r".*\.(zip|tar|tar\.gz|tgz)", re.IGNORECASE)
STAGING = ".incoming"  # below the raw folder, so that a file gets its final name without a second copy
Place = Callable[[PurePosixPath], str | None]


def import_files(
    source: Path,
    raw: Path,
    *,
    dataset: str,
    place: Place,
    get: str,
    wanted: Callable[[str], bool] | None = None,
) -> None:
    """Copy every file of ``source`` for which ``place`` gives a path below ``raw``. A file that is there is kept.

    place: path inside the source -> path below ``raw``, or None for files that are not the dataset's. Members of an
    archive have its name before their own (``images.zip/a.nii.gz``), but for members of ``source`` itself. An archive
    with a place of its own is copied as a file. Left-overs of other systems are ignored. wanted: place -> False for
    files that are not needed. get: which files the dataset consists of, for the message.

    Raises UserError when no file has a place, when two different files have the same place, when a place would have a
    name that is not UTF-8, or when an archive is unsafe or damaged.
    """
    staging = _Staging(source, raw, dataset, place, wanted)
    try:
        staging.prepare()
        staging.fill()
        staging.check_found(get)
        staging.move_into_place()
    finally:
        shutil.rmtree(staging.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # only an empty folder can be removed
            raw.rmdir()


@dataclass(frozen=True)
class _Claim:
    origin: str
    content: Path


class _Staging:
    """The staging folder of one call: the files copied so far, each under a number until all are there."""

    def __init__(
        self, source: Path, raw: Path, dataset: str, place: Place, wanted: Callable[[str], bool] | None
    ) -> None:
        self.source, self.raw, self.dataset, self.place, self.wanted = source, raw, dataset, place, wanted
        self.folder = raw / STAGING
        self.claims: dict[str, _Claim] = {}
        self.known = self.unwanted = 0
        self.unread: dict[str, str] = {}  # archives that are not read, with their kind

    def prepare(self) -> None:
        """Make the folder empty, because an earlier call that was killed may have left files in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise UserError(
                f"cannot write to {self.raw} ({error.strerror}): check the folder's permissions and the disk"
            ) from None

    def fill(self) -> None:
        """Walk the source and copy the files that have a place."""
        below = walk(self.source) if self.source.is_dir() else [(self.source, PurePosixPath(self.source.name))]
        files = [(path, inside) for path, inside in below if self._is_relevant(path, inside)]
        sizes = [_size(path) for path, _ in files]
        with ByteProgress(f"import {self.dataset}", sum(sizes)) as bar:
            for (path, inside), size in zip(files, sizes, strict=True):
                with _opened(path) as file:
                    before = bar.bytes
                    for member in self._members(path, inside, size, file):
                        self._copy_member(member, str(path) if member.name == inside else f"{path}: {member.name}")
                        bar.advance(max(0, min(before + file.tell(), before + size) - bar.bytes))
                    bar.advance(before + size - bar.bytes)

    def check_found(self, get: str) -> None:
        """Raise UserError if no file has a place; name the archives that were not read."""
        names = some([shown(f"{name} ({kind})") for name, kind in self.unread.items()])
        if not self.known and str(self.source) in self.unread:
            raise UserError(f"{self.source} {unread(self.unread[str(self.source)])}")
        if not self.known:
            others = f"; archives of these kinds are not read, unpack them yourself: {names}" if self.unread else ""
            raise UserError(f"{self.source} holds no file of {self.dataset}: {get}{others}")
        if self.unread:
            logger.warning(f"warning: import {self.dataset}: archives of these kinds are not read: {names}")

    def move_into_place(self) -> None:
        """Move every new file to its place in the raw folder."""
        new = [(name, claim.content) for name, claim in self.claims.items() if claim.content.parent == self.folder]
        for name, content in new:
            target = self.raw / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                content.replace(target)
            except OSError as error:
                raise UserError(f"cannot write {target} ({error.strerror}): check the folder's permissions") from None
        kept, left = len(self.claims) - len(new), f", {self.unwanted} not needed by any split" if self.unwanted else ""
        logger.info(f"import {self.dataset}: {len(new)} files to bring, {kept} are there already{left}")

    def _members(self, path: Path, inside: PurePosixPath, size: int, file: BinaryIO) -> Iterator[Member]:
        """A plain file as one member, or the members of an archive and of the archives in it."""
        whole = Member(inside, size, lambda: _chunks(file, path))
        if self.place(inside) is not None:
            yield whole
            return
        if not self._is_opened(path.name, file.read(START), str(path)):
            return
        prefix = PurePosixPath() if path == self.source else inside
        for member in members(file, str(path)):
            name, origin = prefix / member.name, f"{path}: {member.name}"
            if self._is_plain(name):
                yield Member(name, member.size, member.chunks)
                continue
            chunks = member.chunks()
            first = next(chunks, b"")
            if self._is_opened(name.name, first[:START], origin):
                with self._spooled(chain([first], chunks), origin) as copy:
                    yield from self._members_of_copy(copy, name, origin)

    def _members_of_copy(self, copy: BinaryIO, name: PurePosixPath, origin: str) -> Iterator[Member]:
        """Members of an archive in an archive. An archive among them is not opened but noted."""
        for inner in members(copy, origin):
            if self._is_plain(name / inner.name):
                yield Member(name / inner.name, inner.size, inner.chunks)
            elif kind := kind_of(next(inner.chunks(), b"")[:START]):
                self.unread[f"{origin}: {inner.name}"] = f"{kind} in an archive in an archive"

    def _is_relevant(self, path: Path, inside: PurePosixPath) -> bool:
        return path == self.source or may_be_archive(inside.name) or self.place(inside) is not None

    def _is_plain(self, inside: PurePosixPath) -> bool:
        """Whether a member cannot be an archive that must be opened."""
        return is_leftover(inside) or not may_be_archive(inside.name) or self.place(inside) is not None

    def _is_opened(self, name: str, start: bytes, origin: str) -> bool:
        """Whether a file without a place is an archive to be opened, by its first bytes; other kinds are noted.

        What an archive's name promises and is none is opened as well, so that it is refused.
        """
        kind = kind_of(start)
        if kind in (None, WEB_PAGE) or is_read(kind):
            return is_read(kind) or PROMISING.fullmatch(name) is not None
        self.unread[origin] = kind
        return False

    def _spooled(self, chunks: Iterator[bytes], origin: str) -> BinaryIO:
        """A copy of an archive in an archive, because a zip is read from its end; the file has no name."""
        copy = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed by the caller
        try:
            for chunk in chunks:
                copy.write(chunk)
            copy.flush()
        except OSError as error:
            copy.close()
            if is_full(error):
                raise UserError(
                    f"no space left on the disk while unpacking {origin}: free some and run again"
                ) from None
            raise
        return copy

    def _copy_member(self, member: Member, origin: str) -> None:
        name = None if is_leftover(member.name) else self.place(member.name)
        if name is None:
            return
        if not utf8(name):
            raise UserError(f"{shown(origin)} {NOT_UTF8}")
        self.known += 1
        if self.wanted is not None and not self.wanted(name):
            self.unwanted += 1
            return
        earlier, target = self.claims.get(name), self.raw / name
        present = earlier.content if earlier else target if target.is_file() else None
        content = self.folder / f"{self.known}-{target.name}.part"
        try:
            same = _copy_unless_same(member, present, content)
        except UserError:
            raise
        except OSError as error:
            raise UserError(f"{origin} cannot be brought to {target} ({error.strerror or error})") from None
        if earlier is not None and not same:
            raise UserError(
                f"{earlier.origin} and {origin} differ, and both would become {target}: they are of two generations or "
                "copies of the dataset; give a source that holds one"
            )
        if earlier is None:
            self.claims[name] = _Claim(origin, present if same and present is not None else content)


def _copy_unless_same(member: Member, present: Path | None, content: Path) -> bool:
    """Whether ``present`` holds the same bytes; if not, ``content`` is written. The member is read once."""
    chunks, same = member.chunks(), 0
    if present is not None and present.stat().st_size == member.size:
        with present.open("rb") as old:
            for chunk in chunks:
                if old.read(len(chunk)) != chunk:
                    break
                same += len(chunk)
            else:
                return True
        with atomic(content) as temporary, present.open("rb") as old, temporary.open("wb") as new:
            _copy_start(old, new, same)
            new.write(chunk)
            new.writelines(chunks)
        return False
    with atomic(content) as temporary, temporary.open("wb") as new:
        new.writelines(chunks)
    return False


def _copy_start(old: BinaryIO, new: BinaryIO, count: int) -> None:
    while count > 0:
        count -= new.write(old.read(min(CHUNK, count)))


def _size(path: Path) -> int:
    with _opened(path) as file:
        return os.fstat(file.fileno()).st_size


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check the file or link and its permissions"
        ) from None


def _chunks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        while chunk := file.read(CHUNK):
            yield chunk
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the disk and copy the file again") from None
