"""Planning in a project of full size, beside Snakemake's bare start on an empty Snakefile.

The peer of the largest plan is a Snakefile of the same files and jobs, and of nothing else: no parameters, no hashes of
code, no lineage records, no environments (``whole_project.bare``).

It builds the project of ``whole_project`` in a temporary folder, with a complete state on disk: every file, and what
Snakemake itself notes of every job (a few minutes). Costs are processor seconds of dry runs, which say more than the
clock on a busy machine, and the peak memory in MB; medians of three. ``--tiny`` has the tables of params.yaml alone.
"""

import os
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
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
    """The median cost of some dry runs."""
    return _median([_cost(folder, *targets) for _ in range(repeats)])


def _median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure for itself."""
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
        seconds = [
            Row(f"dry run, {what}: s", each.processor, bare.processor, "empty Snakefile", target=f"at most {limit} s")
            for what, (limit, each) in found.items()
        ]
        return [*seconds, *([] if tiny else _all_tables(folder, Path(name, "bare")))]


def _all_tables(folder: Path, beside: Path) -> list[Row]:
    """The plan of all tables of a complete project, in turns with that of the same jobs in a bare Snakefile."""
    whole_project.bare(folder, beside)
    tables = whole_project.targets(folder)
    pairs = [(_cost(folder, *tables), _cost(beside, *tables)) for _ in range(REPEATS)]
    ours, theirs = map(_median, zip(*pairs, strict=True))
    what, peer = "dry run, all tables, all made", "bare Snakefile of the same jobs"
    return [
        Row(f"{what}: s", ours.processor, theirs.processor, peer, target="at most 15 s"),
        Row(f"{what}: MB", ours.memory, theirs.memory, peer),
    ]


if __name__ == "__main__":
    main(rows)
