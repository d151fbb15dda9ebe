"""A real SSH server on the loopback, with its own keys and configuration."""

import contextlib
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.dvc_projects import done
from support.needs import skip

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass(frozen=True)
class Server:
    """Where the server listens, the key that it takes, and the folder for DVC's files."""

    port: int
    key: Path
    store: Path

    def add_to(self, project: Path) -> None:
        """Make it the remote ``far`` of a project, for this machine alone."""
        done(project, "dvc", "remote", "add", "--local", "--force", "far", f"ssh://127.0.0.1:{self.port}{self.store}")
        for name, value in (("user", getpass.getuser()), ("keyfile", str(self.key)), ("allow_agent", "false")):
            done(project, "dvc", "remote", "modify", "--local", "far", name, value)


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[Server]:
    """A server for the time of a block; skips the test where none can run."""
    if not Path(SSHD).exists() or shutil.which("ssh-keygen") is None:
        skip("sshd", "openssh-server is not installed")
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        skip("sshd", "nobody can log in as a user without an entry in the system's list")
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    port = _free_port()
    config = folder / "config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=(folder / "log").open("w"))
    try:
        if not _listens(port, process):
            skip("sshd", f"it does not run here: {(folder / 'log').read_text().strip()}")
        yield Server(port, folder / "user", folder / "store")
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int, process: subprocess.Popen) -> bool:
    for _ in range(100):
        if process.poll() is not None:
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.1)
    return False
