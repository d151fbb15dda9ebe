"""Atomic writing of files, JSON, and hashes.

A file is written under a temporary name and renamed when it is complete, so no reader ever finds half a file.
"""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError

UNFINISHED = ".tmp-"  # prefix of the names of files that are being written


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it on success, remove it on any failure.

    The temporary name keeps the suffix of ``path``, because some writers choose the format by it. The new file has the
    permissions of the user's umask, whatever those of the file that it replaces, which may be read-only or another
    user's. Raises UserError when the disk is full or the folder is not writable.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.parent / f"{UNFINISHED}{secrets.token_hex(8)}{''.join(path.suffixes[-2:])}"
        draft.touch(exist_ok=False)
        temporary, mode = draft, draft.stat().st_mode
        yield temporary
        with temporary.open("rb") as written:
            if os.fstat(written.fileno()).st_mode != mode:  # some writers replace the file by one for the owner alone
                os.fchmod(written.fileno(), stat.S_IMODE(mode))
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if is_full(error):
            raise UserError(f"no space left on the disk while writing {path}: free some and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(f"cannot write {path} ({error.strerror}): check the folder's permissions") from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the unfinished files that killed processes left in ``folder``. No other process may be writing into it."""
    for unfinished in folder.glob(f"{UNFINISHED}*"):
        unfinished.unlink(missing_ok=True)


def is_full(error: OSError) -> bool:
    """Whether an error means a full disk or quota. HDF5 reports a full disk by a message without an error number."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: Any) -> None:
    """Write the ``canonical`` JSON text of ``content`` atomically."""
    write_text(path, canonical(content))


def canonical(content: Any) -> str:
    """Indented JSON text with sorted keys, so that equal content gives equal bytes."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_json(path: Path | str) -> Any:
    """Content of a JSON file. Raises UserError when the file is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: build it with `snakemake {path}`") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}): delete it and build it again") from None


def sha256(path: Path | str) -> str:
    """sha256 of a file's content, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(path: Path | str) -> list[int] | None:
    """Time of change in ns, size in bytes and inode of a file: equal while nobody writes it. None without a file."""
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [status.st_mtime_ns, status.st_size, status.st_ino]


def digest(content: Any) -> str:
    """sha256 of a JSON-like value, hexadecimal; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
