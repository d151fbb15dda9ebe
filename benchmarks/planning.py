"""Planning in a project of full size, beside Snakemake's bare start on an empty Snakefile.

It builds the project of ``whole_project`` in a temporary folder, with a complete state on disk: every file, and what
Snakemake itself notes of every job (a few minutes). Costs are processor seconds of dry runs, which say more than the
clock on a busy machine, and the peak memory in MB; medians of three. ``--tiny`` has the tables of params.yaml alone.
"""

import os
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import whole_project
from measuring import Row, main

REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """What a call took: seconds of processor, peak memory in MB."""

    processor: float
    memory: float


def cost(folder: Path, repeats: int, *targets: str) -> Cost:
    """The median cost of some dry runs, each figure for itself."""
    costs = [_cost(folder, *targets) for _ in range(repeats)]
    return Cost(*(statistics.median(getattr(each, name) for each in costs) for name in ("processor", "memory")))


def _cost(folder: Path, *targets: str) -> Cost:
    command = whole_project.snakemake("--dry-run", "--quiet", "all", "--", *targets)
    environment = whole_project.environment(folder)
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        words = child.stderr.read().decode()  # a few lines, so the pipe never fills
    if child.returncode != 0:
        raise RuntimeError(f"Snakemake failed on {targets}: {words}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def rows(tiny: bool) -> list[Row]:
    repeats = 1 if tiny else REPEATS
    with tempfile.TemporaryDirectory() as name:
        folder, empty = Path(name, "whole"), Path(name, "empty")
        empty.mkdir()
        (empty / "Snakefile").write_text("rule nothing:\n    input:\n        [],\n", encoding="utf-8")
        bare = cost(empty, repeats)
        whole_project.copy_project(folder)
        first = next(iter(whole_project.write_params(folder, 0 if tiny else whole_project.TABLES)), "demo")
        table, row = f"results/{first}.csv", f"results/{first}/cps.csv"
        found = {
            "one table, nothing made": (3, cost(folder, repeats, table)),
            "one row, nothing made": (3, cost(folder, repeats, row)),
        }
        if not tiny:
            whole_project.complete(folder)
            found["one table, all made"] = 3, cost(folder, repeats, table)
            found["one row, all made"] = 3, cost(folder, repeats, row)
            found["all tables, all made"] = 15, cost(folder, repeats, *whole_project.targets(folder))
    seconds = [
        Row(f"dry run, {what}: s", each.processor, bare.processor, "empty Snakefile", target=f"at most {limit} s")
        for what, (limit, each) in found.items()
    ]
    what, (_, largest) = list(found.items())[-1]
    return [*seconds, Row(f"dry run, {what}: MB", largest.memory, bare.memory, "empty Snakefile")]


if __name__ == "__main__":
    main(rows)
