"""Stands for ``python``, ``snakemake``, ``dvc`` and ``semiseg`` where tests start warm programs (``warm``).

It passes its streams, arguments, folder and environment to the server, and ends with the status of the program that the
server runs. A signal that ends it ends the program too: it passes signals on, and the server kills the program of a
client that was killed. What is no call of one of these programs is run by the real interpreter.
"""

import json
import os
import signal
import socket
from pathlib import Path

PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def main(name: str, arguments: list[str], address: str, python: str) -> int:
    """The exit status of the command; negative numbers are signals, as a shell counts them from 128."""
    file = Path(name)
    command = [file.name, *arguments]
    if command[0] == "python":
        module = arguments.index("-m") if "-m" in arguments[:2] else None
        if module is None or arguments[module + 1] not in ("snakemake", "semiseg"):
            os.execv(python, [python, *arguments])
        command = arguments[module + 1 :]
    folder, warm = str(Path.cwd()), str(file.with_name("python"))
    words = [file.name, *arguments]
    request = {"command": command, "words": words, "folder": folder, "environment": dict(os.environ), "python": warm}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [b"{"], [0, 1, 2])
        server.sendall(json.dumps(request).encode()[1:] + b"\n")
        answers = server.makefile()
        program = int(answers.readline())
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: os.kill(program, number))
        status = int(answers.readline() or 1)
    return status if status >= 0 else 128 - status
