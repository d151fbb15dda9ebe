"""Stands for ``python``, ``snakemake``, ``dvc`` and ``semiseg`` where tests start warm programs (``warm``).

It passes its streams, arguments, folder and environment to the server, and ends with the status of the program that the
server ran. What is no call of one of these programs is run by the real interpreter.
"""

import json
import os
import socket
from pathlib import Path


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
    request = {"command": command, "folder": folder, "environment": dict(os.environ), "python": warm}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [b"{"], [0, 1, 2])
        server.sendall(json.dumps(request).encode()[1:] + b"\n")
        status = int(server.recv(16) or 1)
    return status if status >= 0 else 128 - status
