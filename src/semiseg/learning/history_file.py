"""The file history.csv, which a run without steps (a control's) has too. It needs no torch."""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from semiseg.base.files import atomic

COMMON_COLUMNS = ("iteration", "lr", "total", "val_dice")  # those of every method


def write_history(path: Path, columns: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    """Write history.csv atomically: a row per step, the number of the step first."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([int(row[0]), *(_text(value) for value in row[1:])] for row in rows)


def _text(value: float) -> str:
    """A number in eight digits; nothing for a step without validation."""
    return "" if math.isnan(value) else f"{value:.8g}"
