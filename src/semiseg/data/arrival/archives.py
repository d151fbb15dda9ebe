"""Zip, tar and tar.gz from untrusted sources, read member by member in bounded memory; nothing is written.

The content of a file decides which of them it is, and its name never does: browsers unpack or rename what they fetch.

A UserError names the first member that has an absolute path, a drive letter or ``..``, is a link, device or pipe, has
the name of another member or differs from it only in case, is encrypted or damaged, or belongs to a bomb. A member is
never unpacked under its own name: the caller decides where its bytes go. Bytes of a name that are not UTF-8 are kept as
lone surrogates.
"""

import contextlib
import gzip
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from semiseg.base.errors import UserError
from semiseg.data.arrival import archive_kinds
from semiseg.data.arrival.archive_kinds import END_OF_ZIP, PART, SPLIT, START, TAR, TAR_GZ, ZIP, gunzipped, is_last_part

UTF8_FLAG = 0x800  # of a member of a zip: its name is UTF-8
CHUNK = 1 << 20
PADDING = 16 << 20  # bytes that a tar may carry after its end; writers pad to 10 kB or so
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError)


@dataclass(frozen=True)
class Limits:
    """Sizes and ratios of an archive of volumes; an archive beyond them is refused as a bomb.

    Deflate compresses nothing better than 1032:1, and real label maps come near: 943:1 was measured on a tumour mask of
    240 x 240 x 155 float64 voxels. The ratio of a member is therefore checked only from ``ratio_from_bytes`` on. The
    largest collection here holds 250 GB, its largest volume well below 2 GB.
    """

    member_bytes: int = 64 << 30
    total_bytes: int = 4 << 40
    members: int = 500_000
    ratio: float = 1000.0
    ratio_from_bytes: int = 64 << 20


LIMITS = Limits()


@dataclass(frozen=True)
class Member:
    """A file in an archive. chunks: gives its content of ``size`` bytes, until the next member is taken."""

    name: PurePosixPath
    size: int
    chunks: Callable[[], Iterator[bytes]]


def members(file: BinaryIO, label: str, limits: Limits = LIMITS) -> Iterator[Member]:
    """The files in an open archive, in the order in which they are stored; ``label`` names it in messages.

    All names of a zip or a plain tar are checked before the first member is given. Raises UserError, also for a file
    that is no zip, tar or tar.gz, with what it is.
    """
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(START)
    file.seek(0)
    kind = archive_kinds.kind_of(start)
    if PART.fullmatch(label) or (kind in (ZIP, None) and is_last_part(file, size)):
        raise UserError(f"{label} {archive_kinds.unread(SPLIT)}")
    if kind == ZIP or (kind is None and zipfile.is_zipfile(file)):  # a zip may have a program before it
        yield from _zip_members(file, label, size, limits)
    elif kind == TAR:
        for _ in _admitted(file, label, size, limits):
            pass
        file.seek(0)
        yield from _admitted(file, label, size, limits)
    elif kind == TAR_GZ:
        yield from _gzip_members(file, label, size, limits)
    elif kind is not None:
        raise UserError(f"{label} {archive_kinds.unread(kind)}")
    elif gunzipped(start):
        raise UserError(f"{label} is one file packed by gzip and no archive: give the folder that holds it")
    else:
        raise UserError(
            f"{label} is damaged or cut short (it does not start as a zip, tar or tar.gz): fetch the archive again"
        )


def safe_name(name: str, label: str) -> PurePosixPath:
    """A member's name as a path below its archive. Raises UserError when it leads elsewhere."""
    path = PurePosixPath(name.replace("\\", "/"))  # some Windows tools write backslashes
    if path.is_absolute() or re.match(r"[A-Za-z]:", name):
        raise UserError(f"{label}: member {name!r} has an absolute path: {_REFUSED}")
    if ".." in path.parts:
        raise UserError(f"{label}: member {name!r} points out of the archive: {_REFUSED}")
    return path


NOT_UTF8 = "has a name that is not UTF-8: unpack it yourself, rename the file or folder, and give the folder"
_REFUSED = "it is not unpacked; fetch the archive again from its publisher, or unpack it yourself and give the folder"
_SEVERAL = "as several archives in one file have: separate them, or unpack them yourself and give the folder"


class _Register:
    """Names and sizes that an archive has declared so far."""

    def __init__(self, label: str, packed: int, limits: Limits) -> None:
        self.label, self.packed, self.limits = label, packed, limits
        self.names: dict[str, str] = {}
        self.total = 0

    def admit(self, name: str, declared: int, packed: int | None) -> PurePosixPath:
        """The safe name of one more member. declared, packed: its bytes, and its compressed bytes where known."""
        path = safe_name(name, self.label)
        key = unicodedata.normalize("NFC", str(path)).casefold()
        if key in self.names:
            same = "twice" if self.names[key] == str(path) else f"beside {self.names[key]!r}, equal but for case"
            raise UserError(f"{self.label}: member {str(path)!r} occurs {same}: {_REFUSED}")
        self.names[key] = str(path)
        self.total += declared
        self._check_size(name, declared, packed)
        return path

    def _check_size(self, name: str, declared: int, packed: int | None) -> None:
        limits, start = self.limits, f"{self.label}: member {name!r}"
        if len(self.names) > limits.members:
            raise UserError(f"{start} is one of more than {limits.members} members: {_REFUSED}")
        if declared < 0 or declared > limits.member_bytes:
            raise UserError(f"{start} declares {declared} bytes, at most {limits.member_bytes} are allowed: {_REFUSED}")
        if self.total > limits.total_bytes:
            raise UserError(f"{start} makes the archive declare more than {limits.total_bytes} bytes: {_REFUSED}")
        for whose, large, small in (("", declared, packed), ("with those before it ", self.total, self.packed)):
            if small is not None and large > limits.ratio_from_bytes and large > limits.ratio * max(small, 1):
                raise UserError(
                    f"{start} {whose}unpacks {small} bytes to {large}, more than {limits.ratio:g} times as many, as a "
                    f"bomb does: {_REFUSED}"
                )


@contextlib.contextmanager
def _damage_named(where: str) -> Iterator[None]:
    """Turn the errors that the libraries raise for a damaged archive into one sentence."""
    try:
        yield
    except UserError:
        raise
    except UnicodeDecodeError as error:  # a zip states that its names are UTF-8, and one is not
        raise UserError(f"{where}: member {error.object!r} {NOT_UTF8}") from None
    except (NotImplementedError, RuntimeError) as error:  # a packing method that Python lacks
        raise UserError(f"{where} cannot be unpacked ({error}): unpack it yourself and give the folder") from None
    except DAMAGED as error:
        text = str(error) or type(error).__name__
        raise UserError(f"{where} is damaged or cut short ({text}): fetch the archive again") from None


def _chunks(opened: Callable[[], IO[bytes] | None], label: str, name: str, declared: int) -> Iterator[bytes]:
    """Content of a member. Raises UserError when it is shorter than declared; the libraries give no more than that."""
    where = f"{label}: member {name!r}"
    with _damage_named(where):
        stream = opened()
    assert stream is not None  # only regular files are opened
    done = 0
    with stream:
        while True:
            with _damage_named(where):
                chunk = stream.read(CHUNK)
            if not chunk:
                break
            done += len(chunk)
            yield chunk
    if done != declared:
        raise UserError(f"{where} declares {declared} bytes but holds {done}: fetch the archive again")


# --- zip -------------------------------------------------------------------------------------------------------------


def _zip_members(file: BinaryIO, label: str, size: int, limits: Limits) -> Iterator[Member]:
    with _damage_named(label):
        archive = zipfile.ZipFile(file)
    register, admitted = _Register(label, size, limits), []
    with archive:
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        _check_before(file, infos[0].header_offset if infos else 0, label)
        for info in infos:
            _check_zip_kind(info, label)
            if not info.is_dir():
                admitted.append((info, register.admit(_zip_name(info), info.file_size, info.compress_size)))
        for info, path in admitted:
            yield Member(path, info.file_size, _zip_reader(archive, info, label))


def _check_before(file: BinaryIO, start: int, label: str) -> None:
    """Raise UserError where another zip precedes the first member, since zipfile lists the last of several alone."""
    file.seek(0)
    is_zip = archive_kinds.kind_of(file.read(START)) == ZIP  # and no program
    file.seek(max(0, start - END_OF_ZIP))
    if is_zip and b"PK\x05\x06" in file.read(min(start, END_OF_ZIP)):
        raise UserError(f"{label} has another zip before its first member, {_SEVERAL}")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name. Writers that do not state an encoding, such as the Finder of macOS, mean UTF-8 all the same."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    return info.filename.encode("cp437").decode("utf-8", "surrogateescape")


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo, label: str) -> Callable[[], Iterator[bytes]]:
    return lambda: _chunks(lambda: archive.open(info), label, info.filename, info.file_size)


def _check_zip_kind(info: zipfile.ZipInfo, label: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)  # zero where the writer knows no Unix modes
    if kind == stat.S_IFLNK:
        raise UserError(f"{label}: member {info.filename!r} is a link: {_REFUSED}")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"{label}: member {info.filename!r} is a device or pipe: {_REFUSED}")
    if info.flag_bits & 1:
        raise UserError(f"{label}: member {info.filename!r} is encrypted: unpack it yourself and give the folder")


# --- tar -------------------------------------------------------------------------------------------------------------


class _StrictTarInfo(tarfile.TarInfo):
    """Raises an error for a header that is cut or damaged; tarfile alone takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_StrictTarInfo":
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined] # the block of zeros that ends an archive
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def _gzip_members(file: BinaryIO, label: str, size: int, limits: Limits) -> Iterator[Member]:
    """Members of a tar.gz, which is read once only, so that its names are checked one by one."""
    with gzip.GzipFile(fileobj=file) as unpacked:
        yield from _admitted(cast("BinaryIO", unpacked), label, size, limits)


def _admitted(file: BinaryIO, label: str, size: int, limits: Limits) -> Iterator[Member]:
    register = _Register(label, size, limits)
    with _damage_named(label):
        archive = tarfile.TarFile.open(
            fileobj=file, mode="r:", tarinfo=_StrictTarInfo, encoding="utf-8", errors="surrogateescape"
        )
    with archive:
        while True:
            with _damage_named(label):
                info = archive.next()
            if info is None:
                _check_rest(file, label)
                return
            _check_tar_kind(info, label)
            if info.isreg():
                path = register.admit(info.name, info.size, None)
                yield Member(path, info.size, _tar_reader(archive, info, label))


def _check_rest(file: BinaryIO, label: str) -> None:
    """Read what follows the end of a tar, to the end of the file, where gzip keeps its checksum.

    tarfile would leave out the members of another archive that was put behind the first one.
    """
    trailing = 0
    with _damage_named(label):
        while chunk := file.read(CHUNK):
            trailing += len(chunk)
            if chunk.strip(b"\0"):
                raise UserError(f"{label} has data after its end, {_SEVERAL}")
        if trailing > PADDING:
            raise UserError(f"{label} has {trailing} bytes after its end: {_REFUSED}")


def _tar_reader(archive: tarfile.TarFile, info: tarfile.TarInfo, label: str) -> Callable[[], Iterator[bytes]]:
    return lambda: _chunks(lambda: archive.extractfile(info), label, info.name, info.size)


def _check_tar_kind(info: tarfile.TarInfo, label: str) -> None:
    if info.issym() or info.islnk():
        raise UserError(f"{label}: member {info.name!r} is a link: {_REFUSED}")
    if not (info.isreg() or info.isdir()) or info.issparse():
        raise UserError(f"{label}: member {info.name!r} is a device, pipe or sparse file: {_REFUSED}")
