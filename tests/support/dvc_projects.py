"""A project under git and DVC, and calls of the real tools in it."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support import project_folder, warm
from support.snakemake_project import alone, tiny_params

ME = {f"GIT_{who}_{what}": "me@here" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def call(folder: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder, with the tools of this environment first on the PATH."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": tools, "DVC_SITE_CACHE_DIR": str(_scratch() / "site"), "COLUMNS": "200"}
    env = {**os.environ, **ME, **own, **env}
    if command[0] in ("dvc", "semiseg", "snakemake"):
        return warm.run(folder, command, env)
    # git calls DVC and semiseg where it merges
    return subprocess.run(command, cwd=folder, env=warm.surroundings(env), capture_output=True, encoding="utf-8")


def done(folder: Path, *command: str, **env: str) -> str:
    """What a command says that must succeed."""
    result = call(folder, *command, **env)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def params() -> dict:
    """A tiny table alone on its protocol, beside one that is not built."""
    content = tiny_params()
    content["protocols"]["la_small"]["training"]["iterations"] = 2
    content["tables"]["tiny"]["rows"] = ["cps", "control_perfect"]
    content["methods"]["cps"] = {"weight": 0.1}
    return alone(content, "tiny", "la_small")


def new(folder: Path) -> Path:
    """The workflow with a copy of the package's source, in a git repository of its own."""
    files = ("constraints.txt", "dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore")
    project_folder.new(folder, params(), *files, "src/semiseg")
    done(folder, "git", "init", "--quiet")
    commit(folder, "start")
    return folder


def commit(folder: Path, message: str) -> None:
    """Everything that git does not ignore."""
    done(folder, "git", "add", "--all")
    done(folder, "git", "commit", "--quiet", "--message", message)


def clone(source: Path, folder: Path) -> Path:
    """A second place of the same project."""
    done(source, "git", "clone", "--quiet", str(source), str(folder))
    return folder


@functools.cache
def _scratch() -> Path:
    holder = tempfile.TemporaryDirectory(prefix="versioned-")
    _kept.append(holder)
    return Path(holder.name)


_kept: list[tempfile.TemporaryDirectory] = []  # removed when the process ends
