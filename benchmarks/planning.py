"""How long planning takes in a project of full size, beside Snakemake's bare start on an empty Snakefile.

``python benchmarks/planning.py`` builds the project of ``whole_project`` in a temporary folder, with a complete state
on disk: every file, and what Snakemake itself notes of every job (a few minutes). Then it prints the median cost of
three dry runs each as a Markdown table. On a busy machine the processor's seconds say more than the clock.
"""

import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import whole_project

REPEATS = 3


@dataclass(frozen=True)
class Cost:
    """What a call took: seconds on the clock, seconds of processor, peak memory in MB."""

    wall: float
    processor: float
    memory: float


def cost(folder: Path, *targets: str) -> Cost:
    """The median cost of some dry runs, each figure for itself."""
    costs = [_cost(folder, *targets) for _ in range(REPEATS)]
    return Cost(*(statistics.median(getattr(each, name) for each in costs) for name in ("wall", "processor", "memory")))


def _cost(folder: Path, *targets: str) -> Cost:
    command = whole_project.snakemake("--dry-run", "--quiet", "all", "--", *targets)
    environment = whole_project.environment(folder)
    begin = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        words = child.stderr.read().decode()  # a few lines, so the pipe never fills
    if child.returncode != 0:
        raise RuntimeError(f"Snakemake failed on {targets}: {words}")
    return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Build, measure, print."""
    with tempfile.TemporaryDirectory() as name:
        folder, empty = Path(name, "whole"), Path(name, "empty")
        empty.mkdir()
        (empty / "Snakefile").write_text("rule nothing:\n    input:\n        [],\n", encoding="utf-8")
        whole_project.copy_project(folder)
        first = whole_project.write_params(folder)[0]
        table, row = f"results/{first}.csv", f"results/{first}/cps.csv"
        costs = {
            "one table, nothing made": ("3", cost(folder, table)),
            "one row, nothing made": ("3", cost(folder, row)),
        }
        print(whole_project.complete(folder), end="\n\n")
        costs["one table, all made"] = "3", cost(folder, table)
        costs["one row, all made"] = "3", cost(folder, row)
        costs["all tables, all made"] = "20", cost(folder, *whole_project.targets(folder))
        bare = cost(empty)
    print("| dry run of | limit, s | clock, s | processor, s | processor, bare starts | peak, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for what, (limit, each) in {"an empty Snakefile": ("", bare), **costs}.items():
        ratio = each.processor / bare.processor
        print(f"| {what} | {limit} | {each.wall:.1f} | {each.processor:.1f} | {ratio:.1f} | {each.memory:.0f} |")


if __name__ == "__main__":
    main()
