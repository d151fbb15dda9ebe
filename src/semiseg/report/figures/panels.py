"""Box plots per organ and learning curves of a table, as one figure each."""

import math
import textwrap
from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.params.table_spec import TableSpec
from semiseg.report.charts import (
    Look,
    choose_looks,
    plot_boxes,
    plot_totals,
    plot_validations,
    smoothing_window,
    was_validated,
)
from semiseg.report.figures.saving import FILE_STYLE, LETTERS_PER_INCH, add_heading
from semiseg.report.sources import read_dice, read_histories

SHEET_INCHES = 16.0  # width that panels beside each other should not exceed
BOX_INCHES, PANEL_INCHES, NARROWEST_INCHES = 0.19, 0.7, 2.2  # per method, beside its boxes, of a panel
NARROWEST_SHEET_INCHES = 4.0
SCALE_INCHES = 0.5  # of a panel, left of its boxes
PANEL_HEIGHT_INCHES, NAMES_HEIGHT_INCHES = 1.9, 0.9
CURVE_INCHES = (6.2, 3.8)
ENTRY_INCHES, ENTRY_HEIGHT_INCHES = 1.5, 0.2


def trained(spec: TableSpec) -> list[str]:
    """Methods of a table that have runs, in the order of its rows, without the controls."""
    return [name for name in spec.rows if name in spec.runs and not is_control(name)]


def draw_boxes(spec: TableSpec) -> Figure:
    """A panel per organ: Dice (percent, raw grid) over the test cases, mean over seeds, a box per method.

    A method without scores here has an empty place. Raises UserError without any.
    """
    look, dice = _looks(spec), read_dice(spec)
    if not set(dice["method"]) & set(look):
        raise UserError(f"no run of table {spec.table} has scores here: build them with {_again(spec)}")
    organs = spec.abbreviations
    across = max(PANEL_INCHES + BOX_INCHES * len(look), NARROWEST_INCHES)
    columns = min(max(int(SHEET_INCHES / across), 1), len(organs))
    rows = math.ceil(len(organs) / columns)
    size = (
        max(columns * across, NARROWEST_SHEET_INCHES),
        rows * PANEL_HEIGHT_INCHES + NAMES_HEIGHT_INCHES + ENTRY_HEIGHT_INCHES,
    )
    with matplotlib.rc_context(FILE_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        for place, organ in enumerate(organs, start=1):
            axes = figure.add_subplot(rows, columns, place)
            plot_boxes(axes, dice, organ, look)
            names = axes.get_xticklabels()
            if not names[0].get_rotation():  # few methods: a level name that is wider than its place would be cut
                letters = max(int(LETTERS_PER_INCH * (across - SCALE_INCHES) / len(look)), 1)
                lines = [textwrap.fill(name.get_text(), letters, break_long_words=False) for name in names]
                axes.set_xticks(range(len(look)), lines)
            axes.tick_params(axis="x", labelbottom=place + columns > len(organs))
            # names below a panel of an upper line reach into an empty place, so the layout keeps no room for them
            for name in axes.get_xticklabels():
                name.set_in_layout(place > (rows - 1) * columns)
        cases = dice[dice["method"].isin(list(look))]["case"].nunique()
        seeds = "" if len(spec.seeds) == 1 else f", mean over {len(spec.seeds)} seeds"
        add_heading(figure, spec.title, f"{cases} test cases, raw grid{seeds}")
    return figure


def draw_curves(spec: TableSpec) -> Figure:
    """Total loss, smoothed, and where the protocol validates the Dice on the validation cases; means over seeds.

    Methods without a history here are left out. Raises UserError without any history.
    """
    found = read_histories(spec)
    histories = {name: [_mean(found[name])] for name in trained(spec) if name in found}
    if not histories:
        raise UserError(f"no run of table {spec.table} has a history here: train with {_again(spec)}")
    look = _looks(spec)
    plots = [plot_totals, *([plot_validations] if was_validated(histories) else [])]
    width, height = CURVE_INCHES[0] * len(plots), CURVE_INCHES[1]
    columns = min(int(width / ENTRY_INCHES), len(histories))
    legend = ENTRY_HEIGHT_INCHES * math.ceil(len(histories) / columns)
    windows = sorted({smoothing_window(len(run)) for runs in histories.values() for run in runs})
    with matplotlib.rc_context(FILE_STYLE):
        figure = Figure(figsize=(width, height + legend), layout="constrained")
        for place, plot in enumerate(plots, start=1):
            plot(figure.add_subplot(1, len(plots), place), histories, look)
        handles = [Line2D([], [], label=look[name].label, **look[name].line) for name in histories]
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.6)
        lines = "a line per run" if len(spec.seeds) == 1 else f"means over {len(spec.seeds)} seeds"
        smoothed = "" if windows == [1] else f"; losses: moving mean over {' or '.join(map(str, windows))} iterations"
        add_heading(figure, spec.title, lines.capitalize() + smoothed)
    return figure


def _mean(histories: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over the seeds of a method, iteration by iteration."""
    return pd.concat(histories).groupby("iteration").mean().reset_index()


def _looks(spec: TableSpec) -> dict[str, Look]:
    """The looks that methods have on the table's page."""
    return choose_looks({name: spec.label(name) for name in trained(spec)})


def _again(spec: TableSpec) -> str:
    return f"`snakemake results/{spec.table}.csv`"
