"""Bar charts of a table's ablations: mean Dice and Jaccard against the values that its variants change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import under
from semiseg.report.colours import PALETTE
from semiseg.report.figures.saving import FILE_STYLE, add_heading

Bars = tuple[tuple[tuple[Any, ...], str], ...]  # values of the parameters, and the row that has them

SHOWN = (METRICS["dice"], METRICS["jaccard"])
COLOURS = dict(zip(SHOWN, PALETTE, strict=False))
HATCHES = dict(zip(SHOWN, ("", "///"), strict=True))  # so that a print without colours is read as well
BAR = 0.38  # width, where two values are 1 apart
GROUP_INCHES, PANEL_INCHES, HEIGHT_INCHES = 0.95, 1.0, 3.3
SHEET_INCHES = 14.0
FLOOR_STEP = 5  # percent: the axis starts at a multiple of it


@dataclass(frozen=True)
class Panel:
    """Rows of one ablation: base method, changed parameters, and (values, row) in order."""

    base: str
    parameters: tuple[str, ...]
    bars: Bars


def find_panels(spec: TableSpec) -> list[Panel]:
    """A panel per base method and group of parameters, in the order of the table's rows.

    Variants that have a changed parameter in common, directly or through others, stand in one panel. The row of the
    base method itself, if the table has it, is in each of its panels with its own values. Numbers are ordered by size,
    other values as their rows are, the base first. Rows with imported weights show no change, so they are left out.
    """
    groups: list[tuple[str, set[str], list[str]]] = []
    for name in spec.rows:
        if name not in spec.variants or name not in spec.runs or name in spec.imported:
            continue
        base, changed = spec.variants[name].base, set(spec.variants[name].changed)
        joined = [group for group in groups if group[0] == base and group[1] & changed]
        names = [*(known for group in joined for known in group[2]), name]
        merged = (base, changed.union(*(group[1] for group in joined)), names)
        place = groups.index(joined[0]) if joined else len(groups)
        groups = [group for group in groups if group not in joined]
        groups.insert(place, merged)
    return [_panel(spec, base, tuple(sorted(parameters)), names) for base, parameters, names in groups]


def draw_bars(spec: TableSpec, table: pd.DataFrame) -> Figure:
    """The figure of all ablations under the published convention.

    table: rows of both conventions (``semiseg.report.cells.read_rows``). Raises UserError for a table without Dice and
    Jaccard.
    """
    frame = under(table, "published")
    panels = find_panels(spec)
    shown = [metric for metric in SHOWN if metric in frame and frame[metric].notna().any()]
    if not shown:
        raise UserError(f"table {spec.table} has neither Dice nor Jaccard to draw: name one under its metrics")
    widths = [PANEL_INCHES + GROUP_INCHES * len(panel.bars) for panel in panels]
    columns = max(min(int(SHEET_INCHES / max(widths)), len(panels)), 1)
    lines = math.ceil(len(panels) / columns)
    size = (max(columns * max(widths), 5.0), lines * HEIGHT_INCHES + 0.5)
    with matplotlib.rc_context(FILE_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        for place, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(lines, columns, place)
            several = len({each.base for each in panels}) > 1
            base = spec.label(panel.base) if panel.base in spec.names else panel.base  # it may be no row of the table
            axes.set_title((f"{base}: " if several else "") + ", ".join(panel.parameters), loc="left")
            _plot(axes, panel, frame, shown)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        rule, over = frame["rule"].iloc[0], frame["spread_over"].replace("bootstrap", "bootstrap means").iloc[0]
        spreads = _spreads(frame[frame["method"].isin([name for panel in panels for _, name in panel.bars])], shown)
        whiskers = (
            f"; whiskers: population SD over {over}" if spreads.any(axis=None) else ""
        )  # of one run there is none
        add_heading(figure, spec.title, f"Rule {rule}{whiskers}")
    return figure


def _panel(spec: TableSpec, base: str, parameters: tuple[str, ...], variants: Sequence[str]) -> Panel:
    names = [base, *variants] if base in spec.runs else variants
    bars = [(tuple(spec.hyper[name][parameter] for parameter in parameters), name) for name in names]
    if all(isinstance(value, int | float) for values, _ in bars for value in values):
        bars.sort(key=lambda bar: bar[0])
    return Panel(base, parameters, tuple(bars))


def _plot(axes: Axes, panel: Panel, frame: pd.DataFrame, shown: Sequence[str]) -> None:
    rows = frame.set_index("method").loc[[name for _, name in panel.bars]]
    means = rows[list(shown)].astype(float)
    spreads = _spreads(rows, shown)
    low, high = float(np.nanmin(means - spreads)), float(np.nanmax(means + spreads))
    floor = max(FLOOR_STEP * math.floor((low - 0.2 * (high - low)) / FLOOR_STEP), 0)
    for number, metric in enumerate(shown):
        places = [place + BAR * (number - (len(shown) - 1) / 2) for place in range(len(rows))]
        axes.bar(
            places, means[metric], BAR, label=f"mean {metric}", color=COLOURS[metric], hatch=HATCHES[metric],
            edgecolor="white", yerr=spreads[metric] if spreads[metric].any() else None,
            error_kw={"capsize": 2.5, "elinewidth": 0.9},
        )  # fmt: skip
        for place, mean, top in zip(places, means[metric], means[metric] + spreads[metric], strict=True):
            axes.annotate(f"{mean:.1f}", (place, top), (0, 2), textcoords="offset points", ha="center", fontsize=7)
    axes.set_ylim(floor, high + 0.2 * (high - floor))
    axes.set_ylabel(f"%, axis from {floor}" if floor else "%")
    axes.set_xticks(range(len(rows)), [_label(panel, values, name) for values, name in panel.bars])
    axes.grid(visible=False, axis="x")


def _spreads(rows: pd.DataFrame, shown: Sequence[str]) -> pd.DataFrame:
    """The spread of each mean, 0 where it has none."""
    return rows[[f"{metric} SD" for metric in shown]].astype(float).fillna(0).set_axis(list(shown), axis=1)


def _label(panel: Panel, values: Sequence[Any], name: str) -> str:
    """What stands below a bar: the values, a line each, and a word where they are the method's own."""
    lines = [_text(value) for value in values]
    return "\n".join([*lines, "(base)"] if name == panel.base else lines)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, int | float) else str(value)
