"""Snakemake, DVC and semiseg in processes of their own that need not import them.

They are forked from a server that has imported them once: most of the processor time of a short call is that import,
and the tests make many. The programs that one of these starts by its name are warm too, such as the jobs of Snakemake.
What a test kills, and what SLURM runs, starts as a fresh process instead (``kills``, ``slurm_projects``).
"""

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

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
