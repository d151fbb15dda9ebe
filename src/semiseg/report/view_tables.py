"""The page's three views of each mean, side by side, with intervals drawn on one axis."""

import math
from typing import Any

import pandas as pd

from semiseg.base.controls import is_control
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import interval, lines_of, mean_columns, number, p_text, signed, unit_of
from semiseg.report.groups import ZERO, first_text, marks, ranks_text, zeros
from semiseg.report.notes import MARKS, printed_over
from semiseg.report.score_tables import difference_limits, shade_difference
from semiseg.report.views import Views, is_printed, of_column, verdict
from semiseg.scoring.conventions import CONVENTIONS

VIEWS = ("printed", "published", "sound")
AXIS = 340.0  # width of the drawn axis, CSS pixels
MARGIN = 12.0
MOST_TICKS = 6
POINTS = ("printed", "published", "published_low", "published_high", "sound", "sound_low", "sound_high")


def view_tables(spec: TableSpec, table: pd.DataFrame, views: Views) -> list[dict[str, Any]]:
    """What the template lays out, a table per mean; an axis only where both conventions have one unit."""
    units = dict(zip(table["convention"], table["unit"], strict=True))
    limits = difference_limits(views[views["column"].isin(mean_columns(spec))])
    tables = []
    for column in mean_columns(spec):
        lines = of_column(views, column)
        both = {name: unit_of(column, unit) for name, unit in units.items()}
        ticks = _ticks(lines) if len(set(both.values())) == 1 else []
        groups = {"printed": [""] * len(lines), **{view: marks(lines, view) for view in CONVENTIONS}}
        zero = zeros(spec, lines, "published")
        rows = [
            {
                "method": line.method,
                "label": line.label,
                "control": is_control(line.method),
                "reference": line.method == spec.reference,
                **{view: {"mean": number(getattr(line, view)), "group": groups[view][row]} for view in VIEWS},
                "printed_spread": "" if pd.isna(line.printed_spread) else f" ± {line.printed_spread:.2f}",
                "published_interval": interval(line.published_low, line.published_high),
                "sound_interval": interval(line.sound_low, line.sound_high),
                "difference": signed(line.difference),
                "background": shade_difference(line.difference, column, limits),
                "zero": ZERO if zero[row] else "",
                "mark": MARKS[verdict(line)],
                "first": first_text(line, "sound"),
                "ranks": ranks_text(line, "sound"),
                "p": p_text(line),
                "effect": signed(line.effect),
                "points": {} if is_control(line.method) or not ticks else _points(line, ticks),
            }
            for row, line in enumerate(lines_of(lines))
        ]
        axis = [{"x": _place(tick, ticks), "text": f"{tick:g}"} for tick in ticks]
        head = {
            "column": column,
            "units": both,
            "printed": is_printed(views),
            "printed_over": printed_over(lines),
            "axis": axis,
        }
        tables.append({**head, "rows": rows})
    return tables


def _ticks(lines: Views) -> list[float]:
    """Round numbers from below the least to above the greatest of what is drawn; nothing where there is nothing."""
    numbers = lines.loc[~lines["method"].map(is_control), list(POINTS)].to_numpy(float)
    numbers = numbers[~pd.isna(numbers)]
    if not len(numbers):
        return []
    low, high = float(numbers.min()), float(numbers.max())
    step = next(
        size
        for size in (factor * 10.0**power for power in range(-2, 4) for factor in (1, 2, 5))
        if math.ceil(high / size) - math.floor(low / size) < MOST_TICKS
    )
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [round(place * step, 2) for place in range(first, last + 1)]


def _points(line: Any, ticks: list[float]) -> dict[str, float]:
    """Places on the axis, in pixels, of what is known of a row."""
    values = {name: getattr(line, name) for name in POINTS}
    return {name: _place(value, ticks) for name, value in values.items() if not pd.isna(value)}


def _place(value: float, ticks: list[float]) -> float:
    return round(MARGIN + (AXIS - 2 * MARGIN) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)
