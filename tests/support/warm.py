"""Snakemake, DVC and semiseg in processes of their own that need not import them.

They are forked from a server that has imported them once: half of the processor time of a short call is that import,
and the tests make many. What a test kills starts as a fresh process instead (``kills``, ``slurm_projects``), and so
does every command that one of these programs starts itself.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PRELOADED = [
    "snakemake.cli",
    "snakemake.api",
    "snakemake.report",
    "snakemake_executor_plugin_slurm",
    "dvc.cli.parser",
    "dvc.repo",
    "semiseg.cli.main",
]


def snakemake(
    folder: Path, arguments: Sequence[str], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``python -m snakemake ARGUMENTS`` in a folder; its status and what it printed."""
    return run(folder, ["snakemake", *arguments], env)


def run(folder: Path, command: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """``snakemake``, ``dvc`` or ``semiseg`` with its arguments in a folder; its status and what it printed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as kept:
        out, err = Path(kept, "out"), Path(kept, "err")
        started = context.Process(target=_main, args=(folder, list(command), dict(env or os.environ), out, err))
        started.start()
        started.join()
        texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (out, err)]
    return subprocess.CompletedProcess(list(command), started.exitcode or 0, *texts)


def _main(folder: Path, command: list[str], env: dict[str, str], out: Path, err: Path) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for stream, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
        os.close(file)
    program, *arguments = command
    sys.argv = [f"{Path(sys.executable).parent}/{program}", *arguments]
    sys.path[0] = str(folder)
    match program:
        case "snakemake":
            from snakemake.cli import main
        case "dvc":
            from dvc.cli import main
        case "semiseg":
            from semiseg.cli.main import main
    sys.exit(main())
