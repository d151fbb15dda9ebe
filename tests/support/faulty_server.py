"""A server on loopback for the files of a folder, whole or from a given byte, and the faults that real servers have.

Each fault belongs to one request, in order; after the last the server behaves.
"""

import contextlib
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

CHUNK = 1 << 16


class FileHandler(BaseHTTPRequestHandler):
    """Answers GET with a file, or its end from a given byte, and with an ETag.

    The address is the file's path below the folder, its query included; a folder answers with its ``index.json``.
    """

    protocol_version = "HTTP/1.1"
    folder: ClassVar[Path]

    def do_GET(self) -> None:
        """Serve the file that the address names, or 404."""
        path = self.located()
        if path is None:
            self.send_error(404)
            return
        size, tag = path.stat().st_size, f'"{path.stat().st_size:x}-{path.stat().st_mtime_ns:x}"'
        start = self.asked_start(size, tag)
        if start is not None and start >= size:
            self.answer(416, 0, {"Content-Range": f"bytes */{size}"})
            return
        headers = {"ETag": tag, "Accept-Ranges": "bytes"}
        if start is None:
            self.answer(200, size, headers)
        else:
            self.answer(206, size - start, {**headers, "Content-Range": f"bytes {start}-{size - 1}/{size}"})
        self.send_content(path, start or 0)

    def located(self) -> Path | None:
        """The file below the folder that is meant, if it is there."""
        name = urllib.parse.unquote(self.path).lstrip("/")
        path = (self.folder / name).resolve()
        if path.is_dir():
            path = path / "index.json"
        return path if path.is_file() and path.is_relative_to(self.folder.resolve()) else None

    def asked_start(self, size: int, tag: str) -> int | None:
        """First byte of a requested range; None for the whole file and for a range of another version."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match and self.headers.get("If-Range", tag) == tag else None

    def answer(self, status: int, length: int, headers: dict[str, str]) -> None:
        """Send status and headers."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_content(self, path: Path, start: int) -> None:
        """Send a file from a given byte on."""
        with path.open("rb") as file, contextlib.suppress(ConnectionError):  # the other side may hang up
            file.seek(start)
            while chunk := file.read(CHUNK):
                self.wfile.write(chunk)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""


@contextlib.contextmanager
def serve(folder: Path, handler: type[FileHandler] = FileHandler) -> Iterator[str]:
    """Serve a folder on a free port of loopback while the context lasts; yields the base address."""
    bound = type("Bound", (handler,), {"folder": folder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer (``forever``: with this and all that follow).

    status: answered instead of the file. cut: the connection ends after so many bytes of the body. length: the
    Content-Length in the header; the body stays as it is. body: sent in the file's place. ranges: False ignores a
    requested range. any_version: a range is sent although If-Range names another version. shift: the range starts so
    many bytes later. tag: ETag. chunked: the header has no length. drop_end: the closing chunk never comes. pause:
    seconds of silence before the answer.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    length: int | None = None
    body: bytes | None = None
    ranges: bool = True
    any_version: bool = False
    shift: int = 0
    tag: str | None = ""
    chunked: bool = False
    drop_end: bool = False
    pause: float = 0.0
    forever: bool = False


GOOD = Fault()


class FaultyHandler(FileHandler):
    """Takes the next fault for every request, and notes the request."""

    faults: ClassVar[list[Fault]]
    asked: ClassVar[list[dict[str, Any]]]

    def do_GET(self) -> None:
        fault = GOOD if not self.faults else self.faults[0] if self.faults[0].forever else self.faults.pop(0)
        wanted_version = self.headers.get("If-Range")
        self.asked.append({"path": self.path, "range": self.headers.get("Range"), "if_range": wanted_version})
        time.sleep(fault.pause)
        if fault.status is not None:
            self.answer(fault.status, 0, fault.headers)
            return
        path = self.located()
        if path is None:
            self.send_error(404)
            return
        whole = fault.body if fault.body is not None else path.read_bytes()
        tag = '"v1"' if fault.tag == "" else fault.tag
        known = wanted_version if fault.any_version and wanted_version else tag or ""
        start = self.asked_start(len(whole), known) if fault.ranges else None
        if start is not None and start >= len(whole):
            self.answer(416, 0, {"Content-Range": f"bytes */{len(whole)}"})
            return
        body = whole[(start or 0) + fault.shift if start else 0 :]
        headers = {**({"ETag": tag} if tag else {}), **fault.headers}
        if start is not None:
            headers["Content-Range"] = f"bytes {start + fault.shift}-{len(whole) - 1}/{len(whole)}"
        self._send(206 if start is not None else 200, headers, body, fault)

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        self.close_connection = True
        self.send_response(status)
        length = (
            {"Transfer-Encoding": "chunked"} if fault.chunked else {"Content-Length": str(fault.length or len(body))}
        )
        for name, value in {**headers, **length, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        body = body[: fault.cut]
        if fault.chunked:
            body = b"%x\r\n%s\r\n" % (len(body), body) + (b"" if fault.drop_end else b"0\r\n\r\n")
        self.wfile.write(body)


@contextlib.contextmanager
def faulty(folder: Path, *faults: Fault) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve a folder with faults; yields the base address and the growing list of requests."""
    asked: list[dict[str, Any]] = []
    handler = type("Faulty", (FaultyHandler,), {"faults": list(faults), "asked": asked})
    with serve(folder, handler) as base:
        yield base, asked


def forever(fault: Fault) -> Fault:
    """The same fault at every request from now on."""
    return replace(fault, forever=True)
