"""The process from which warm programs are forked: ``python warm_server.py SOCKET OWNER``.

It imports the programs and reads the outlines of their source once, then waits at a Unix socket. A client
(``warm_client.py``) sends its streams and a request, gets the process number of its program, and the exit status when
the program has ended. The program of a client that goes away is killed. While a program runs, a file named after its
process number, beside the socket, holds its request and its client's process number. The server ends with the process
whose number is OWNER, and removes the socket's folder.
"""

import contextlib
import importlib
import json
import multiprocessing
import os
import select
import shutil
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

from semiseg.base.sources import PACKAGE
from semiseg.jobs import outline

PRELOADED = (
    "snakemake.cli",
    "snakemake.api",
    "snakemake.report.html_reporter",
    "snakemake_executor_plugin_slurm",
    "smart_open",
    "dvc.cli",
    "dvc.cli.parser",
    "dvc.lock",
    "dvc.repo.open_repo",
    "dvc.repo.plots",
    "dvc.scm",
    "dulwich.index",
    "networkx",
    "pandas.io.formats.style",
    "semiseg.report.page",
    "torch._dynamo",  # the first optimiser of a process imports it
    "scipy.stats",
    "semiseg.cli.main",
    *(f"semiseg.stages.{file.stem}" for file in sorted(Path("src/semiseg/stages").glob("[!_]*.py"))),
)


def serve(path: str, owner: int) -> None:
    """Import the programs, then serve until the owner has gone."""
    for module in PRELOADED:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != "torch":  # the environment of the newest Python has none
                raise
    with contextlib.chdir(Path(path).parent):  # where none are kept
        for source in PACKAGE.rglob("*.py"):
            outline.outline(source)
        outline.save()
    assert threading.active_count() == 1, "a process that holds threads must not be forked"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the programs
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen(64)
        listener.settimeout(2)
        Path(f"{path}.new").rename(path)
        while psutil.pid_exists(owner):
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            with client:
                if not os.fork():
                    listener.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    os._exit(_serve(client, Path(path).parent))
    shutil.rmtree(Path(path).parent)


def _serve(client: socket.socket, folder: Path) -> int:
    """Run the client's program in a process of its own, and send its process number and its exit status."""
    client.settimeout(None)
    text, streams, *_ = socket.recv_fds(client, 2**16, 3)
    while not text.endswith(b"\n"):
        text += client.recv(2**16)
    request = json.loads(text)
    program = multiprocessing.get_context("fork").Process(target=_run, args=(client, request, streams))
    program.start()
    for stream in streams:
        os.close(stream)
    note = folder / f"{program.pid}.json"
    number = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[0]
    note.with_suffix(".new").write_text(json.dumps({**request, "client": number}))
    note.with_suffix(".new").rename(note)
    client.sendall(f"{program.pid}\n".encode())
    if client in select.select([client, program.sentinel], [], [])[0]:  # closed, because a client sends nothing more
        program.kill()
    program.join()
    note.unlink()
    with contextlib.suppress(BrokenPipeError):
        client.sendall(f"{program.exitcode}\n".encode())
    return 0


def _run(client: socket.socket, request: dict[str, Any], streams: list[int]) -> None:
    """Run a program in this process as the client would run it."""
    client.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    program, *arguments = request["command"]
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # Programs that this one starts by the interpreter's name are warm too.
    sys.executable = request["python"]
    sys.argv = [str(Path(sys.executable).with_name(program)), *arguments]
    sys.path[0] = request["folder"]
    match program:
        case "snakemake":
            from snakemake.cli import main
        case "dvc":
            from dvc.cli import main
        case "semiseg":
            from semiseg.cli.main import main
    sys.exit(main())


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
