"""Charts of a table's page: learning curves and box plots, as small SVG drawings that the page lays out."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from xml.sax.saxutils import quoteattr

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semiseg.report.cells import is_control

# Okabe and Ito's colours, which stay apart under every common colour blindness; yellow is too faint on white
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1.2)))
CONTROL_COLOUR = "#767676"
PANEL_INCHES = (3.2, 2.3)
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "semiseg",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
}
POINTS_PER_CURVE = 250
SMOOTHING = 50  # a moving mean over this part of the training
POINTS_BESIDE_BOX = 30


@dataclass(frozen=True)
class Look:
    """How a method appears in every chart: its name in print, colour and line."""

    label: str
    colour: str
    dash: str | tuple[float, tuple[float, ...]]


def looks(labels: Mapping[str, str]) -> dict[str, Look]:
    """A look for each method of a table (method -> label), the same everywhere on the page."""
    pairs = ((colour, dash) for dash in cycle(DASHES) for colour in PALETTE)
    return {
        name: Look(label, CONTROL_COLOUR, DASHES[2]) if is_control(name) else Look(label, *next(pairs))
        for name, label in labels.items()
    }


def totals(histories: Mapping[str, Sequence[pd.DataFrame]], look: Mapping[str, Look]) -> str:
    """Total loss of every run against the iteration, smoothed."""
    figure, axes = _panel("Total training loss", wide=True)
    for method, runs in histories.items():
        for run in runs:
            _line(axes, run, "total", look[method])
    _label_iterations(axes)
    return _svg(figure, "total training loss of every run against the iteration")


def validations(histories: Mapping[str, Sequence[pd.DataFrame]], look: Mapping[str, Look]) -> str | None:
    """Validation Dice (percent) of every run as judged, unsmoothed; None when no run was validated."""
    figure, axes = _panel("Dice on the validation cases (%)", wide=True)
    for method, runs in histories.items():
        for run in runs:
            judged = run.dropna(subset=["val_dice"])
            style = {"color": look[method].colour, "linestyle": look[method].dash, "linewidth": 1.3}
            axes.plot(judged["iteration"], 100 * judged["val_dice"], marker="o", markersize=3, **style)
    if not any(len(line.get_xdata()) for line in axes.lines):  # type: ignore[arg-type]
        return None
    _label_iterations(axes)
    return _svg(figure, "Dice on the validation cases against the iteration")


def terms(histories: Mapping[str, Sequence[pd.DataFrame]], look: Mapping[str, Look]) -> list[str]:
    """A panel per method with its unweighted loss terms, smoothed, first run."""
    drawings = []
    for method, runs in histories.items():
        figure, axes = _panel(look[method].label, colour=look[method].colour)
        names = [column for column in runs[0].columns if column.startswith("loss_")]
        for number, name in enumerate(names):
            dash = DASHES[number // len(PALETTE) % len(DASHES)]
            _line(axes, runs[0], name, Look(name.removeprefix("loss_"), PALETTE[number % len(PALETTE)], dash))
        axes.legend(frameon=False, fontsize=7.5, handlelength=1.6, loc="upper right")
        _label_iterations(axes)
        drawings.append(_svg(figure, f"loss terms of {look[method].label}"))
    return drawings


def boxes(dice: pd.DataFrame, organs: Sequence[str], look: Mapping[str, Look]) -> list[str]:
    """A panel per organ: Dice (percent) over test cases, a box per method.

    dice: columns method, case, organ, dice; a case without the organ has no row.
    """
    return [_box_panel(dice[dice["organ"] == organ], organ, look) for organ in organs]


def _box_panel(dice: pd.DataFrame, organ: str, look: Mapping[str, Look]) -> str:
    figure, axes = _panel(f"{organ} (Dice, %)")
    for place, (method, style) in enumerate(look.items()):
        values = dice.loc[dice["method"] == method, "dice"].sort_index().to_numpy()
        if not len(values):
            continue
        line = {"color": style.colour, "linewidth": 1.2}
        drawn = axes.boxplot(
            [values], positions=[place], widths=0.62, showfliers=len(values) > POINTS_BESIDE_BOX, patch_artist=True,
            boxprops=dict(line), whiskerprops=line, capprops=line, medianprops={**line, "linewidth": 2.2},
            flierprops={"marker": ".", "markersize": 3, "markeredgecolor": style.colour},
        )  # fmt: skip
        drawn["boxes"][0].set_facecolor(matplotlib.colors.to_rgba(style.colour, 0.15))
        if len(values) <= POINTS_BESIDE_BOX:
            sideways = [place + 0.36 * ((7 * i % 11) / 10 - 0.5) for i in range(len(values))]
            axes.plot(sideways, values, ".", color=style.colour, markersize=4, alpha=0.8, markeredgewidth=0)
    axes.set(ylim=(-3, 103), xlim=(-0.7, len(look) - 0.3), yticks=range(0, 101, 25))
    slant = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(look) > 3 else {}
    axes.set_xticks(range(len(look)), [style.label for style in look.values()], **slant)
    axes.grid(visible=False, axis="x")
    return _svg(figure, f"box plots of Dice per method over the test cases, organ {organ}")


def _panel(title: str, wide: bool = False, colour: str = "#222222") -> tuple[Figure, Axes]:
    with matplotlib.rc_context(STYLE):
        width, height = PANEL_INCHES
        figure = Figure(figsize=(1.6 * width, 1.25 * height) if wide else (width, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", color=colour)
    return figure, axes


def _line(axes: Axes, run: pd.DataFrame, column: str, look: Look) -> None:
    window = smoothing_window(len(run))
    smooth = run[column].rolling(window, min_periods=1, center=True).mean()
    shown = slice(None, None, max(len(run) // POINTS_PER_CURVE, 1))
    style = {"color": look.colour, "linestyle": look.dash, "linewidth": 1.3}
    axes.plot(run["iteration"][shown], smooth[shown], label=look.label, **style)


def smoothing_window(steps: int) -> int:
    """Iterations that the moving mean of a curve takes in."""
    return max(steps // SMOOTHING, 1)


def _label_iterations(axes: Axes) -> None:
    axes.set_xlabel("iteration")
    axes.margins(x=0.01)


def _svg(figure: Figure, description: str) -> str:
    """The figure as an SVG element that fills its container; the same data give the same bytes."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    drawing = re.sub(r' (width|height)="[^"]*pt"', "", text[text.index("<svg") :], count=2)
    return drawing.replace("<svg", f'<svg role="img" aria-label={quoteattr(description)}', 1)
