"""Kinds of archives, by the first bytes of a file; which of them are read is decided here too."""

import contextlib
import re
import tarfile
import zlib
from typing import BinaryIO

ZIP, TAR, TAR_GZ, WEB_PAGE, SPLIT = "zip", "tar", "tar.gz", "web page", "part of a split archive"
START = 4096  # bytes of a file that show its kind: a gzip header with a long name, and the packed header of a tar
STARTS = {  # first bytes of a file -> its kind
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,  # without members
    b"PK\x07\x08": SPLIT,
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"\x5d\x00\x00": "lzma",
    b"LZIP": "lzip",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "compress (.Z)",
    b"\x1f\xa0": "compress (.Z)",
    b"MSCF": "cabinet",
}
GZIP = b"\x1f\x8b"
PART = re.compile(r".*\.(\d{3}|z\d\d|part\d+\.rar)", re.IGNORECASE)  # names of the parts of a split archive
# Endings under which a folder or archive may hold an archive. A name without any ending may too.
NAMED = re.compile(
    r"[^.]+|(?!.*\.nii\.gz$).*\.(zip|tar|gz|gzip|tgz|taz|bz2|bzip2|tbz2?|xz|txz|lzma|tlz|7z|rar|zst|tzst|lz|lz4|z|z\d\d|cab|\d{1,3})",
    re.IGNORECASE,
)
END_OF_ZIP = 22 + (1 << 16)  # bytes of the record that ends a zip, with the longest comment


def may_be_archive(name: str) -> bool:
    """Whether a file of this name may be an archive, so that its content must be looked at."""
    return NAMED.fullmatch(name) is not None


def kind_of(start: bytes) -> str | None:
    """What the first ``START`` bytes of a file are the start of, None for what is no archive.

    ``zip``, ``tar`` and ``tar.gz`` are read here; other kinds are words for a message.
    """
    if start.startswith(GZIP):
        inner = gunzipped(start)
        return TAR_GZ if _is_tar(inner) else None if kind_of(inner) is None else f"gzip of {kind_of(inner)}"
    found = next((kind for first, kind in STARTS.items() if start.startswith(first)), None)
    if found is None and _is_tar(start):
        return TAR
    if found is None and re.match(rb"\s*<(!doctype html|html|\?xml)", start, re.IGNORECASE):
        return WEB_PAGE
    return found


def is_read(kind: str | None) -> bool:
    """Whether ``members`` reads archives of this kind."""
    return kind in (ZIP, TAR, TAR_GZ)


def gunzipped(start: bytes) -> bytes:
    """The first block of what a gzip file holds, as far as its ``start`` contains it."""
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(31).decompress(start, tarfile.BLOCKSIZE)  # 31: with gzip's header
    return b""


def _is_tar(start: bytes) -> bool:
    """Whether this is the header of a tar, by its checksum, or the block of zeros that ends an empty one."""
    block = start[: tarfile.BLOCKSIZE]
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return True
    except tarfile.HeaderError:
        return False
    return True


def is_last_part(file: BinaryIO, size: int) -> bool:
    """Whether other parts precede this file, by the record that ends a zip. The file is rewound."""
    file.seek(max(0, size - END_OF_ZIP))
    tail = file.read()
    file.seek(0)
    found = tail.rfind(b"PK\x05\x06")
    return found >= 0 and tail[found + 4 : found + 6] not in (b"\0\0", b"\xff\xff", b"")  # number of this part


def unread(kind: str) -> str:
    """What to do about a file of a kind that is not read, as the end of a sentence."""
    if kind == WEB_PAGE:
        return "is a web page and no archive: log in to its publisher's site in a browser and fetch the archive again"
    return f"is of the kind {kind}, which is not read (zip, tar and tar.gz are): unpack it yourself and give the folder"
