"""Charts of a table's page: learning curves and box plots, as small SVG drawings that the page lays out."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from xml.sax.saxutils import quoteattr

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from semiseg.base.controls import is_control
from semiseg.report.colours import CONTROL_COLOUR, EDGE_COLOUR, GRID_COLOUR, PALETTE

Dash = str | tuple[float, tuple[float, ...]]

DASHES: tuple[Dash, ...] = ("solid", (0, (4, 1.5)), (0, (1, 1.2)))
CSS = ("solid", "dashed", "dotted")  # the same
PANEL_INCHES = (3.2, 2.3)
WIDE_INCHES = (6.4, 3.0)
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "semiseg",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE_COLOUR,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID_COLOUR,
    "grid.linewidth": 0.6,
}
POINTS_PER_CURVE = 250
POINTS_PER_INCH = 72  # at which matplotlib draws SVG, so that texts have the size for which the figure is laid out
SMOOTHING = 50  # a moving mean over this part of the training
POINTS_BESIDE_BOX = 30
MOST_IN_PANEL = 8  # methods whose names stay readable under the boxes of a small panel


Histories = Mapping[str, Sequence[pd.DataFrame]]


@dataclass(frozen=True)
class Look:
    """How a method appears in every chart: its name in print, colour and line."""

    label: str
    colour: str
    dash: Dash

    @property
    def css(self) -> str:
        """The line's style as the page's legend draws it."""
        return CSS[DASHES.index(self.dash)]

    @property
    def line(self) -> dict[str, Any]:
        """Style of a line, as keyword arguments of matplotlib."""
        return {"color": self.colour, "linestyle": self.dash, "linewidth": 1.3}


def choose_looks(labels: Mapping[str, str]) -> dict[str, Look]:
    """A look for each method of a table (method -> label), the same everywhere on the page."""
    pairs = ((colour, dash) for dash in cycle(DASHES) for colour in PALETTE)
    return {
        name: Look(label, CONTROL_COLOUR, DASHES[2]) if is_control(name) else Look(label, *next(pairs))
        for name, label in labels.items()
    }


def draw_totals(histories: Histories, look: Mapping[str, Look]) -> str:
    """Total loss of every run against the iteration, smoothed."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _panel(WIDE_INCHES)
        plot_totals(axes, histories, look)
        return _svg(figure, "total training loss of every run against the iteration")


def draw_validations(histories: Histories, look: Mapping[str, Look]) -> str | None:
    """Validation Dice (percent) of every run, unsmoothed; None when no run was validated."""
    if not was_validated(histories):
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _panel(WIDE_INCHES)
        plot_validations(axes, histories, look)
        return _svg(figure, "Dice on the validation cases against the iteration")


def plot_totals(axes: Axes, histories: Histories, look: Mapping[str, Look]) -> None:
    """Fill a panel with the smoothed total losses."""
    axes.set_title("Total training loss", loc="left")
    for method, runs in histories.items():
        for run in runs:
            _line(axes, run, "total", look[method])
    _label_iterations(axes)


def was_validated(histories: Histories) -> bool:
    """Whether any run has a validation result."""
    return any(bool(run["val_dice"].notna().any()) for runs in histories.values() for run in runs)


def plot_validations(axes: Axes, histories: Histories, look: Mapping[str, Look]) -> None:
    """Fill a panel with the validation Dice of each run, percent."""
    axes.set_title("Dice on the validation cases (%)", loc="left")
    for method, runs in histories.items():
        for run in (run.dropna(subset=["val_dice"]) for run in runs):
            axes.plot(run["iteration"], 100 * run["val_dice"], marker="o", markersize=3, **look[method].line)
    _label_iterations(axes)


def draw_terms(histories: Histories, look: Mapping[str, Look]) -> dict[str, str]:
    """Per method a panel with its unweighted loss terms, smoothed, first run."""
    return {method: _term_panel(runs[0], look[method].label) for method, runs in histories.items()}


def draw_boxes(dice: pd.DataFrame, organs: Sequence[str], look: Mapping[str, Look]) -> list[str]:
    """A panel per organ: Dice (percent) over test cases, a box per method.

    dice: columns method, case, organ, dice; a case without the organ has no row.
    """
    return [_box_panel(dice, organ, look) for organ in organs]


def are_wide(look: Mapping[str, Look]) -> bool:
    """Whether panels of boxes have twice the width, because small ones have no room for the names of all methods."""
    return len(look) > MOST_IN_PANEL


def smoothing_window(steps: int) -> int:
    """Iterations that the moving mean of a curve takes in."""
    return max(steps // SMOOTHING, 1)


def _term_panel(run: pd.DataFrame, label: str) -> str:
    with matplotlib.rc_context(STYLE):
        figure, axes = _panel((PANEL_INCHES[0], 1.2 * PANEL_INCHES[1]))
        names = [column for column in run.columns if column.startswith("loss_")]
        for name, style in choose_looks({name: name.removeprefix("loss_") for name in names}).items():
            _line(axes, run, name, style)
        _label_iterations(axes)
        figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=7.5, handlelength=1.4, columnspacing=1)
        return _svg(figure, f"loss terms of {label}")


def plot_boxes(axes: Axes, dice: pd.DataFrame, organ: str, look: Mapping[str, Look]) -> None:
    """Fill a panel with one organ's boxes, a place per method of ``look``; dice as in ``draw_boxes``."""
    axes.set_title(f"{organ}, Dice (%)", loc="left")
    values = dice[dice["method"].isin(look.keys()) & (dice["organ"] == organ)].groupby("method")["dice"].apply(list)
    for place, (method, style) in enumerate(look.items()):
        if method in values:
            _box(axes, place, values[method], style.colour)
    lowest = min(map(min, values), default=0.0)
    low = min(10 * (lowest // 10), 80.0)
    axes.set(ylim=(low - 0.03 * (100 - low), 100 + 0.03 * (100 - low)), xlim=(-0.7, len(look) - 0.3))
    slant: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(look) > 3 else {}
    axes.set_xticks(range(len(look)), [style.label for style in look.values()], **slant)
    axes.grid(visible=False, axis="x")


def _box_panel(dice: pd.DataFrame, organ: str, look: Mapping[str, Look]) -> str:
    with matplotlib.rc_context(STYLE):
        figure, axes = _panel(WIDE_INCHES if are_wide(look) else PANEL_INCHES)
        plot_boxes(axes, dice, organ, look)
        return _svg(figure, f"box plots of Dice per method over the test cases, organ {organ}")


def _box(axes: Axes, place: int, values: list[float], colour: str) -> None:
    line: dict[str, Any] = {"color": colour, "linewidth": 1.1}
    few = len(values) <= POINTS_BESIDE_BOX
    drawn = axes.boxplot(
        [values], positions=[place], widths=0.62, showfliers=not few, patch_artist=True,
        boxprops=dict(line), whiskerprops=line, capprops=line, medianprops={**line, "linewidth": 2.2},
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": colour},
    )  # fmt: skip
    drawn["boxes"][0].set_facecolor(to_rgba(colour, 0.15))
    if few:
        sideways = [place + 0.36 * ((7 * i % 11) / 10 - 0.5) for i in range(len(values))]
        axes.plot(sideways, values, "o", color=colour, markersize=3, alpha=0.75, markeredgewidth=0)


def _panel(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained", dpi=POINTS_PER_INCH)
    return figure, figure.add_subplot()


def _line(axes: Axes, run: pd.DataFrame, column: str, look: Look) -> None:
    smooth = run[column].rolling(smoothing_window(len(run)), min_periods=1, center=True).mean()
    shown = slice(None, None, max(len(run) // POINTS_PER_CURVE, 1))
    axes.plot(run["iteration"][shown], smooth[shown], label=look.label, **look.line)


def _arrange(figure: Figure) -> None:
    """Lay the figure out for SVG. Else matplotlib draws all of it another time to find the same layout."""
    FigureCanvasSVG(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def _label_iterations(axes: Axes) -> None:
    axes.set_xlabel("iteration")
    axes.margins(x=0.01)


def _svg(figure: Figure, description: str) -> str:
    """The figure as an SVG element that fills its container; the same data give the same bytes."""
    _arrange(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    drawing = re.sub(r' (width|height)="[^"]*pt"', "", text[text.index("<svg") :], count=2)
    return drawing.replace("<svg", f'<svg role="img" aria-label={quoteattr(description)}', 1)
