"""Open archives over HTTP: a cut transfer continues, and only a file that was verified gets its name.

What has arrived of ``name`` lies in ``name.part``. The address, size and validator (ETag or date) that the server gave
for it lie in ``name.part.json``. Without that record, or when the server's version is another, a transfer starts anew.
"""

import contextlib
import hashlib
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import requests

from semiseg.base.errors import UserError
from semiseg.base.files import is_full, read_json, write_json
from semiseg.base.progress import ByteProgress, Progress
from semiseg.data.arrival.archives import safe_name
from semiseg.data.arrival.http import BodyError, OpenSession, Patience, open_session, repeat, request
from semiseg.dataset import RemoteFile

CHUNK = 1 << 18
GB = 1e9
Arrived = Callable[[int], None]  # gets the bytes that have come; a negative number where some were dropped


def fetch_all(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    workers: int = 2,
    patience: Patience | None = None,
    connect: OpenSession = open_session,
) -> None:
    """Fetch files into ``folder``, ``workers`` at a time. A file that is there and whole is kept.

    Raises UserError for the first file that cannot be had; what has arrived of the others is kept. Raises UserError
    before anything is fetched when the disk has no room for all files.
    """
    _check_names(files)
    missing = [file for file in files if not is_whole(file, folder / file.name)]
    arrived = {file.name: _length(part_of(folder / file.name)) for file in missing}
    _check_room(missing, sum(arrived.values()), folder)
    with _Bar(missing, sum(arrived.values())) as bar, ThreadPoolExecutor(max(1, workers)) as pool:
        patience = patience or Patience()
        stoppable = replace(patience, sleep=partial(bar.sleep, patience.sleep))

        def one(file: RemoteFile) -> None:
            with connect(stoppable) as session:
                fetch(file, folder, session, stoppable, bar.arrived)
            bar.finished(file)

        futures = [pool.submit(one, file) for file in missing]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            bar.stopped.set()  # an error or Ctrl-C ends the others within a second, not after hours
            pool.shutdown(cancel_futures=True)


def fetch(
    file: RemoteFile, folder: Path, session: requests.Session, patience: Patience, arrived: Arrived = lambda count: None
) -> None:
    """Fetch one file to ``folder/name``; ``arrived`` gets the number of new bytes, for progress.

    Raises UserError with the file, its address and what to do.
    """
    path = folder / file.name
    transfer = _Transfer(file, path, session, patience, arrived)
    with _disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            repeat(transfer.attempt, patience, lambda: transfer.length)
        except UserError as error:
            kept = "; what has arrived is kept" if transfer.length else ""
            raise UserError(f"{file.name}: {error}{kept}") from None
        transfer.part.replace(path)
        transfer.record.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """The file's path until it is whole."""
    return path.with_name(f"{path.name}.part")


def is_whole(file: RemoteFile, path: Path) -> bool:
    """Whether a file is there as published: size and checksum, or a readable zip where nothing is published."""
    return path.is_file() and _fault(file, path) is None


class _Transfer:
    """The attempts at one file."""

    def __init__(
        self, file: RemoteFile, path: Path, session: requests.Session, patience: Patience, arrived: Arrived
    ) -> None:
        self.file, self.session, self.patience, self.arrived = file, session, patience, arrived
        self.part, self.record = part_of(path), path.with_name(f"{path.name}.part.json")

    @property
    def length(self) -> int:
        """Bytes that have arrived."""
        return _length(self.part)

    def attempt(self) -> None:
        """Fetch what is missing and verify the whole. Raises BodyError when another attempt may help."""
        known = self._known()
        total = known.get("bytes")
        if known and self.length == total:
            self._verify()
            return
        if not known or (total is not None and self.length > total):
            self._drop()
        start = self.length
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and known["validator"]:
            headers["If-Range"] = known["validator"]
        with request(self.session, self.file.url, self.patience, headers) as answer:
            self._check_kind(answer)
            if not self._continues(answer, start, total):
                self._drop()
                if answer.status_code != 200:
                    raise BodyError(f"{self.file.url} does not continue where the transfer was cut")
                start = 0
            total = self._total(answer, start)
            write_json(self.record, {"url": self.file.url, "bytes": total, "validator": _validator(answer)})
            self._receive(answer, total)
        if total is not None and self.length < total:
            raise BodyError(f"{self.file.url} was cut after {self.length} of {total} bytes")
        self._verify()

    def _known(self) -> Mapping[str, Any]:
        """The record of the part that is here; empty when that part cannot be continued safely."""
        if not self.part.exists() or not self.record.exists():
            return {}
        try:
            known: Mapping[str, Any] = read_json(self.record)
            usable = known["url"] == self.file.url and (known["validator"] or self.file.checksum)
        except (UserError, KeyError, TypeError):
            return {}
        return known if usable else {}

    def _drop(self) -> None:
        self.arrived(-self.length)
        self.part.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def _check_kind(self, answer: requests.Response) -> None:
        kind = answer.headers.get("Content-Type", "")
        if answer.status_code in (200, 206) and kind.lower().startswith("text/html"):
            raise UserError(
                f"{self.file.url} answers with a web page, not with the file: open it in a browser, log in or agree to "
                "the terms if it requires so, and import the file by `semiseg import`"
            )

    def _continues(self, answer: requests.Response, start: int, total: int | None) -> bool:
        """Whether an answer continues the same file of ``total`` bytes at ``start``; status 200 is the whole file."""
        if answer.status_code == 200:
            return start == 0
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if answer.status_code != 206 or match is None or int(match[1]) != start:
            return False
        return total is None or match[3] in ("*", str(total))

    def _total(self, answer: requests.Response, start: int) -> int | None:
        """Bytes of the whole file: as published, else as the server announces; None when neither is known."""
        if self.file.bytes is not None:
            return self.file.bytes
        length = answer.headers.get("Content-Length", "")
        return start + int(length) if length.isdigit() else None

    def _receive(self, answer: requests.Response, total: int | None) -> None:
        with self.part.open("ab") as file:
            while chunk := answer.raw.read1(CHUNK, decode_content=False):  # read1: a cut loses no byte
                file.write(chunk)
                self.arrived(len(chunk))
                if total is not None and file.tell() > total:
                    break
        if total is not None and self.length > total:
            self._drop()
            raise BodyError(f"{self.file.url} sends more than the {total} bytes that were expected")

    def _verify(self) -> None:
        fault = _fault(self.file, self.part)
        if fault is not None:
            self._drop()
            raise BodyError(f"{self.file.url} {fault}")


def _validator(answer: requests.Response) -> str | None:
    """What If-Range takes to check that the server's file is still the same: a strong ETag, else the date."""
    tag = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _fault(file: RemoteFile, path: Path) -> str | None:
    """What is wrong with a file that has arrived, in words; None when nothing is."""
    if file.bytes is not None and _length(path) != file.bytes:
        return f"gave {_length(path)} bytes, expected {file.bytes}"
    if file.checksum is not None:
        kind, _, expected = file.checksum.partition(":")
        with path.open("rb") as content:
            found = hashlib.file_digest(content, kind).hexdigest()
        if found != expected.lower():
            return f"gave other bytes than published ({kind} {found}, expected {expected})"
    elif file.name.lower().endswith(".zip") and not zipfile.is_zipfile(path):
        return "gave no whole zip archive"
    return None


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_names(files: Sequence[RemoteFile]) -> None:
    names = [str(safe_name(file.name, "the publisher's list")) for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"the publisher's list names {twice[0]} twice: fetch the files by hand and import them")
    for file in files:
        if file.checksum is not None and file.checksum.partition(":")[0] not in ("md5", "sha256"):
            raise UserError(f"{file.name}: checksum {file.checksum!r} is of a kind not known here (md5, sha256)")


def _check_room(missing: Sequence[RemoteFile], arrived: int, folder: Path) -> None:
    with _disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(file.bytes or 0 for file in missing) - arrived, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{len(missing)} files need {needed / GB:.1f} GB more in {folder}, {free / GB:.1f} GB are free: free some, "
            "or make the folder a link to a larger disk"
        )


@contextlib.contextmanager
def _disk_faults(path: Path) -> Any:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise UserError(f"no space left on the disk for {path}: free some and run again") from None
        raise UserError(f"cannot write {path} ({error.strerror or error}): check the folder's permissions") from None


class _Bar:
    """Progress of all files, in MB when all sizes are known, else in files. It also stops all threads."""

    def __init__(self, files: Sequence[RemoteFile], arrived: int) -> None:
        self.stopped = threading.Event()
        self._lock, self._bar = threading.Lock(), Progress("download", len(files), "file")
        if all(file.bytes is not None for file in files):
            self._bar = ByteProgress("download", sum(file.bytes or 0 for file in files), arrived)

    def __enter__(self) -> "_Bar":
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def sleep(self, sleep: Callable[[float], None], seconds: float) -> None:
        while seconds > 0 and not self.stopped.is_set():
            sleep(min(seconds, 1.0))
            seconds -= 1.0

    def arrived(self, count: int) -> None:
        if self.stopped.is_set():
            raise UserError("stopped, because another file cannot be had")
        with self._lock:
            if isinstance(self._bar, ByteProgress):
                self._bar.advance(count)

    def finished(self, file: RemoteFile) -> None:
        with self._lock:
            if not isinstance(self._bar, ByteProgress):
                self._bar.step(file=file.name)
