"""How long commands take before their work begins: processor time of whole processes, in a project as it is cloned."""

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import Row, alternate, main

ROOT = Path(__file__).parent.parent
PYTHON, SNAKEMAKE = [sys.executable, "-c"], [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run"]
EMPTY = "rule nothing:\n    input:\n        [],\n"


@dataclass(frozen=True)
class Start:
    """A command, and another whose cost it is compared with; ``floor``: whether no start of ours can cost less."""

    what: str
    ours: Sequence[str]
    peer: Sequence[str]
    peer_name: str
    floor: bool
    target: str


STARTS = (
    Start("import of the command line", [*PYTHON, "import semiseg.cli.main"], [*PYTHON, ""], "Python", True, ""),
    Start(
        "import of the training stage",
        [*PYTHON, "import semiseg.stages.train"],
        [*PYTHON, "import torch"],
        "import of torch",
        True,
        "0.3 s above the floor",
    ),
    Start(
        "semiseg plan amos_10pct, never called before",
        [sys.executable, "-m", "semiseg", "plan", "amos_10pct"],
        [*PYTHON, "import torch"],
        "import of torch",
        False,
        "at most 3 s, without torch",
    ),
    Start(
        "dry run of results/demo.csv",
        [*SNAKEMAKE, "results/demo.csv"],
        [*SNAKEMAKE, "--snakefile", "empty"],
        "Snakemake without jobs",
        True,
        "at most 3 s",
    ),
)


def rows(tiny: bool = False) -> list[Row]:
    """A row per start. tiny: the first alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("Snakefile", "params.yaml", "workflow", "profiles"):
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        (folder / "empty").write_text(EMPTY, encoding="utf-8")
        return [_row(start, folder, repeats=1 if tiny else 7) for start in STARTS[: 1 if tiny else None]]


def _row(start: Start, folder: Path, repeats: int) -> Row:
    def call(command: Sequence[str]) -> None:
        shutil.rmtree(folder / "results", ignore_errors=True)  # what an earlier call has kept
        subprocess.run(command, cwd=folder, capture_output=True, check=True)

    ours, peer = alternate(lambda: call(start.ours), lambda: call(start.peer), repeats=repeats, clock=_of_children)
    floor = (peer, start.peer_name) if start.floor else (None, "")
    return Row(start.what, ours, peer, start.peer_name, *floor, start.target)


def _of_children() -> float:
    """Processor time of all processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(rows)
