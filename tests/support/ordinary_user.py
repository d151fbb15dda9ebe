"""Calls as users who are not root. A test of root's becomes them, and is skipped where it cannot."""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import semiseg
from support.needs import root, skip

FIRST, SECOND, GROUP = 2001, 2002, 2000  # numbers without an entry in /etc/passwd


def call(
    user: int, folder: Path, *module: str, umask: int = 0o002, path: Sequence[Path] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """``python -m`` with these words in a folder, by a user of ``GROUP`` who has no name and no other group.

    path: further folders in which Python looks for modules, before all others.
    """
    root("becoming another user")
    home = folder / f".home{user}"
    home.mkdir(exist_ok=True)
    os.chown(home, user, GROUP)
    packages = [*path, Path(semiseg.__file__).parent.parent, sysconfig.get_path("purelib")]
    env = {name: text for name, text in os.environ.items() if name not in ("USER", "LOGNAME")}
    env |= {"HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, packages))}
    return subprocess.run(
        [_interpreter(), "-m", *module],
        cwd=folder,
        env={**env, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        encoding="utf-8",
        user=user,
        group=GROUP,
        extra_groups=[],
        umask=umask,
    )


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder to which every user can find the way; pytest keeps others out of the folders that it makes."""
    with tempfile.TemporaryDirectory(prefix="users-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def share(folder: Path) -> None:
    """Give a folder to the group, so that all of its users can work in it."""
    root("giving files to other users")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, FIRST, GROUP)
        path.chmod(0o2775 if path.is_dir() else 0o664)


@functools.cache
def _interpreter() -> str:
    """An interpreter that these users may run, of the version for which the packages are installed."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(name, path="/usr/local/bin:/usr/bin")):
        command = [python or "false", "-c", "pass"]
        try:
            if subprocess.run(command, user=FIRST, group=GROUP, extra_groups=[], capture_output=True).returncode == 0:
                return str(python)
        except PermissionError:
            continue
    skip("root", f"no {name} that other users may run")
