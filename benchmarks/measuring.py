"""The one form of a benchmark: rows of a table, and two pieces of code timed alternately in one process.

A script of this folder offers ``rows(tiny)`` and ends with ``main(rows)``: ``python benchmarks/SCRIPT.py`` prints its
table, and ``--tiny`` the table of its smallest form, whose numbers mean nothing. ``all.py`` finds it by itself.
"""

import argparse
import importlib.util
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD = "| what | ours | peer | peer / ours | floor | ours / floor | target |"


@dataclass(frozen=True)
class Row:
    """One measured comparison. A cost is in seconds, bytes or another unit, the same for all columns of the row.

    target: what was aimed at, in words, e.g. "at most 2x the floor"; floor: the cost of the least work that any
    implementation must do.
    """

    what: str
    ours: float
    peer: float | None
    peer_name: str
    floor: float | None = None
    floor_name: str = ""
    target: str = ""


def alternate(
    *calls: Callable[[], object], repeats: int = 7, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Median cost of each call; the calls take turns, so that a busy moment of the machine hits all of them.

    The order of a turn is drawn, because a call costs more after one that has filled the processor's caches.
    """
    costs: list[list[float]] = [[] for _ in calls]
    turn, drawn = list(zip(costs, calls, strict=True)), random.Random(0)
    for call in calls:  # files are in memory and modules are loaded before the clock runs
        call()
    for _ in range(repeats):
        drawn.shuffle(turn)
        for kept, call in turn:
            begin = clock()
            call()
            kept.append(clock() - begin)
    return [statistics.median(kept) for kept in costs]


def peak_mib(call: Callable[[], object], gpu: Any = None) -> float:
    """Peak MiB of two calls above what the process held before them: resident memory, or that of a CUDA device.

    gpu: a ``torch.device`` of type cuda. The high-water mark of resident memory never falls, so only a process that has
    done nothing else gives a true number.
    """
    if gpu is None:
        before = _most_resident()
        _twice(call)
        return (_most_resident() - before) / 2**20
    import torch  # here: few benchmarks need it

    torch.cuda.reset_peak_memory_stats(gpu)
    before = torch.cuda.memory_allocated(gpu)
    _twice(call)
    return (torch.cuda.max_memory_allocated(gpu) - before) / 2**20


def _twice(call: Callable[[], object]) -> None:
    for _ in range(2):
        call()


def _most_resident() -> int:
    # Not from getrusage: that number outlives exec, so a small child of a large benchmark would have its size.
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def is_installed(module: str) -> bool:
    """Whether a peer can be imported. ``make benchmark`` installs those of peers.txt; an absent one has no cost."""
    return importlib.util.find_spec(module) is not None


def main(rows: Callable[[bool], Sequence[Row]]) -> None:
    """Print the rows of a script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true", help="the smallest form: does the script run?")
    print_rows(rows(parser.parse_args().tiny))


def print_rows(rows: Sequence[Row]) -> None:
    """Print a Markdown table: the peer's cost over ours (above 1 we are cheaper), and ours over the floor."""
    print(HEAD)
    print("| --- " * HEAD.count(" | ") + "| --- |")
    for row in rows:
        peer = "not installed" if row.peer is None else f"{row.peer:.3g}"
        ratio = "" if row.peer is None else f"{row.peer / row.ours:.2f}"
        floor, over = ("", "") if row.floor is None else (f"{row.floor:.3g}", f"{row.ours / row.floor:.2f}")
        names = " ".join((peer, row.peer_name)), " ".join((floor, row.floor_name)).strip()
        print(f"| {row.what} | {row.ours:.3g} | {names[0]} | {ratio} | {names[1]} | {over} | {row.target} |")
