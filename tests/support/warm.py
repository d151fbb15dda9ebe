"""Snakemake in processes of its own that need not import it: they are forked from a server that has imported it once.

Half of the processor time of a short call is that import, and the tests make many. What a test kills or what must find
its own environment starts as a fresh process instead (``kills``, ``dvc_projects``, ``slurm_projects``).
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PRELOADED = ["snakemake.cli", "snakemake.api", "snakemake.report", "snakemake_executor_plugin_slurm"]


def snakemake(
    folder: Path, arguments: Sequence[str], env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``python -m snakemake ARGUMENTS`` in a folder; its status and what it printed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as kept:
        out, err = Path(kept, "out"), Path(kept, "err")
        started = context.Process(target=_main, args=(folder, list(arguments), dict(env or os.environ), out, err))
        started.start()
        started.join()
        texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (out, err)]
    return subprocess.CompletedProcess(["snakemake", *arguments], started.exitcode or 0, *texts)


def _main(folder: Path, arguments: list[str], env: dict[str, str], out: Path, err: Path) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for stream, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
        os.close(file)
    sys.argv = [f"{Path(sys.executable).parent}/snakemake", *arguments]
    sys.path[0] = str(folder)
    from snakemake.cli import main

    main()
