"""A small HTTP server on loopback for files laid out as ``<folder>/<host>/<path>``, and the addresses that lead to it.

A query is part of a file's name (``getSeries?Collection=X``). Where the publisher answers at an address that is a
folder here, the answer lies in that folder as ``index.json``.
"""

import contextlib
import re
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

CHUNK = 1 << 16


def mirrored(url: str, base: str) -> str:
    """The address at a mirror: ``https://host/path?query`` becomes ``<base>/host/path?query``."""
    return f"{base.rstrip('/')}/{url.split('://', 1)[-1]}"


class FileHandler(BaseHTTPRequestHandler):
    """Answers GET with a file or its end from a given byte on, with a validator to continue by."""

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
        """The first byte that a range asks for; None for the whole file, and where the range is of another version."""
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
        """Say nothing: the other side reports."""


@contextlib.contextmanager
def serve(folder: Path, handler: type[FileHandler] = FileHandler) -> Iterator[str]:
    """Serve a folder while the context lasts; gives the server's base address, on a free port of loopback."""
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
