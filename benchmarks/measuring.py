"""The one form of a benchmark: rows of a table, and two pieces of code timed alternately in one process."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


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
    """Median cost of each call; the calls take turns, so that a busy moment of the machine hits all of them."""
    costs: list[list[float]] = [[] for _ in calls]
    for call in calls:  # files are in memory and modules are loaded before the clock runs
        call()
    for _ in range(repeats):
        for kept, call in zip(costs, calls, strict=True):
            begin = clock()
            call()
            kept.append(clock() - begin)
    return [statistics.median(kept) for kept in costs]


def print_rows(rows: Sequence[Row]) -> None:
    """Print a Markdown table: the peer's cost over ours (above 1 we are cheaper), and ours over the floor."""
    print("| what | ours | peer | peer / ours | floor | ours / floor | target |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        peer = "not installed" if row.peer is None else f"{row.peer:.3g}"
        ratio = "" if row.peer is None else f"{row.peer / row.ours:.2f}"
        floor, over = ("", "") if row.floor is None else (f"{row.floor:.3g}", f"{row.ours / row.floor:.2f}")
        names = " ".join((peer, row.peer_name)), " ".join((floor, row.floor_name)).strip()
        print(f"| {row.what} | {row.ours:.3g} | {names[0]} | {ratio} | {names[1]} | {over} | {row.target} |")
