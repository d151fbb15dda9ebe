"""Snakemake, DVC and semiseg in processes of their own that need not import them.

They are forked from a server that has imported them once: most of the processor time of a short call is that import,
and the tests make many. The programs that one of these starts by its name are warm too, such as the jobs of Snakemake.
They can be suspended and killed like others. What SLURM signals starts as a fresh process instead
(``slurm_projects``), because a warm program is no child of the process that starts it.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from support import ROOT

HERE = Path(__file__).parent
START = 120.0  # seconds
PROGRAMS = ("python", "snakemake", "dvc", "semiseg")
CLIENT = """#!{python} -SsE
import sys
sys.path.insert(0, {here!r})
from warm_client import main
sys.exit(main({name!r}, sys.argv[1:], {socket!r}, {python!r}))
"""


def snakemake(
    folder: Path, arguments: Sequence[str], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``python -m snakemake ARGUMENTS`` in a folder; its status and what it printed."""
    return run(folder, ["snakemake", *arguments], env)


def run(folder: Path, command: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """``snakemake``, ``dvc`` or ``semiseg`` with its arguments in a folder; its status and what it printed."""
    own = surroundings(env or os.environ)
    return subprocess.run(command_of(*command), cwd=folder, env=own, capture_output=True, encoding="utf-8")


class Program:
    """A warm program that goes on beside the test; both streams are appended to ``output``."""

    def __init__(self, folder: Path, command: Sequence[str], output: IO[bytes], env: Mapping[str, str]) -> None:
        words = command_of(*command)
        self._client = subprocess.Popen(words, cwd=folder, env=surroundings(env), stdout=output, stderr=output)

    @functools.cached_property
    def pid(self) -> int:
        """Its process number, which is not that of its client."""
        end = time.monotonic() + START
        while time.monotonic() < end:
            for program in running():
                if program.client == self._client.pid:
                    return program.process.pid
            time.sleep(0.02)
        raise TimeoutError("the program does not start")

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._client.poll()

    def wait(self, seconds: float | None = None) -> int:
        """Its exit status, once it has ended."""
        return self._client.wait(seconds)

    def kill(self) -> None:
        """Kill -9; it is dead when this returns."""
        program = psutil.Process(self.pid)
        self._client.kill()
        self._client.wait()
        program.wait(START)


@dataclass(frozen=True)
class Running:
    """A warm program at work: its process, the words and environment it was started with, its client's number."""

    process: psutil.Process
    words: list[str]
    environment: dict[str, str]
    client: int


def running() -> Iterator[Running]:
    """All warm programs of this run of the tests."""
    for file in _tools().glob("*.json"):
        with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):  # it has ended meanwhile
            note = json.loads(file.read_text())
            yield Running(psutil.Process(int(file.stem)), note["words"], note["environment"], note["client"])


def command_of(program: str, *arguments: str) -> list[str]:
    """The command line of a warm program."""
    return [str(_tools() / program), *arguments]


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """The environment in which programs that are started by their names are warm."""
    return {**env, "PATH": f"{_tools()}{os.pathsep}{env['PATH']}"}


@functools.cache
def _tools() -> Path:
    """A folder of commands that a running server serves; all workers of a run of the tests share one server."""
    shared = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    folder = Path(tempfile.gettempdir(), f"warm-{shared or os.getpid()}")
    socket = folder / "server"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        for name in PROGRAMS:
            file = folder / name
            values = {"name": str(file), "python": sys.executable, "here": str(HERE), "socket": str(socket)}
            file.write_text(CLIENT.format(**values))
            file.chmod(0o755)
        owner = os.getppid() if shared else os.getpid()  # the process that starts the workers outlives them
        command = [sys.executable, HERE / "warm_server.py", socket, str(owner)]
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + START
    while not socket.exists():
        assert time.monotonic() < end, "the server of warm programs does not start"
        time.sleep(0.05)
    return folder
