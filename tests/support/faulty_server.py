"""A server on loopback with the faults of real ones: each answers one request, in order; then it behaves."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from semiseg.data.arrival.mirror import FileHandler, serve


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer (``forever``: with this and all that follow).

    status: answered instead of the file. cut: hang up after so many bytes of the body. length: the Content-Length told
    (the body stays as it is). body: sent in the file's place. ranges False: ranges are ignored; blind: only the version
    that a range asks for is; shift: it starts so many bytes later. tag: validator told. chunked: no length is told;
    drop_end: the closing chunk never comes. pause: seconds of silence.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    length: int | None = None
    body: bytes | None = None
    ranges: bool = True
    blind: bool = False
    shift: int = 0
    tag: str | None = ""
    chunked: bool = False
    drop_end: bool = False
    pause: float = 0.0
    forever: bool = False


GOOD = Fault()


class FaultyHandler(FileHandler):
    """Takes the next fault for every request, and notes what was asked."""

    faults: ClassVar[list[Fault]]
    asked: ClassVar[list[dict[str, Any]]]

    def do_GET(self) -> None:  # noqa: N802 - http.server names it
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
        known = wanted_version if fault.blind and wanted_version else tag or ""
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


@contextmanager
def faulty(folder: Path, *faults: Fault) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve a folder with faults; gives the base address and the list of what is asked, which grows."""
    asked: list[dict[str, Any]] = []
    handler = type("Faulty", (FaultyHandler,), {"faults": list(faults), "asked": asked})
    with serve(folder, handler) as base:
        yield base, asked


def forever(fault: Fault) -> Fault:
    """The same fault at every request from now on."""
    return replace(fault, forever=True)
