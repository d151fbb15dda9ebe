"""What libraries and messages expect of the place where a process runs: three standard streams, a user with a name."""

import getpass
import io
import os
import sys
import tempfile
from pathlib import Path

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def complete() -> None:
    """Supply what is missing, so that the work does not depend on it.

    A closed standard stream becomes an empty one; otherwise the next file that is opened would take its place. A sign
    that the encoding of a terminal or pipe lacks is shown as its escape sequence. A user without an entry in the
    system's list, as in many containers, is named by their number, and has a home in the temporary folder.
    """
    for number, (name, mode) in enumerate(STREAMS):
        _open(number, name, mode)
    _name_user()


def _open(number: int, name: str, mode: str) -> None:
    try:
        os.fstat(number)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number, which is this one
    stream = getattr(sys, name)
    if stream is None:
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 (a standard stream)
    elif mode == "w" and isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _name_user() -> None:
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = str(os.getuid())
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()
