"""Two rows case by case: the Dice of each case in both rows, and the differences of every organ."""

from collections.abc import Sequence
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from semiseg.report.colours import CONTROL_COLOUR, EDGE_COLOUR, PALETTE
from semiseg.report.figures.saving import FILE_STYLE, add_heading
from semiseg.scoring.paired import Pairs

BETTER, WORSE = PALETTE[0], PALETTE[1]
PAIR_INCHES, ORGAN_INCHES, HEIGHT_INCHES = 3.0, 0.42, 3.6
WIDEST_INCHES = 12.0
MEAN = "mean"


def draw_pairs(pairs: Pairs, labels: Sequence[str], heading: str) -> Figure:
    """Left: a line per test case from the first row's Dice to the second's. Right: differences of each organ and case.

    labels: names of both rows. A case in which the first row is better is blue and solid, one in which it is worse is
    orange and dashed; a legend below says so. A bar over the dots is their mean.
    """
    names = [name for name in pairs.cases.columns if name != MEAN]
    shown = [*(names if len(names) > 1 else []), MEAN]
    width = min(PAIR_INCHES + max(ORGAN_INCHES * len(shown) + 1.0, 2.4), WIDEST_INCHES)
    with matplotlib.rc_context(FILE_STYLE):
        figure = Figure(figsize=(width, HEIGHT_INCHES), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(PAIR_INCHES, width - PAIR_INCHES))
        _plot_cases(left, pairs, labels)
        _plot_differences(right, pairs, shown)
        looks: dict[str, tuple[str, Literal["solid", "dashed", "dotted"]]] = {
            f"{labels[0]} better": (BETTER, "solid"),
            f"{labels[0]} worse": (WORSE, "dashed"),
            "equal": (CONTROL_COLOUR, "dotted"),
        }
        lines = [
            Line2D([], [], color=colour, linestyle=dash, marker="o", markersize=3, linewidth=1, label=label)
            for label, (colour, dash) in looks.items()
        ]
        figure.legend(handles=lines, loc="outside lower center", ncols=len(lines))
        add_heading(figure, heading, f"Right: {labels[0]} minus {labels[1]}; a bar is the mean")
    return figure


def _plot_cases(axes: Axes, pairs: Pairs, labels: Sequence[str]) -> None:
    axes.set_title("Dice of each case (%)", loc="left")
    sizes = pairs.cases[MEAN].dropna()
    one, other = (table[MEAN].reindex(sizes.index) for table in (pairs.first, pairs.second))
    for size, *values in zip(sizes, one, other, strict=True):
        colour, dash = (BETTER, "solid") if size > 0 else (WORSE, "dashed") if size < 0 else (CONTROL_COLOUR, "dotted")
        axes.plot((0, 1), values, color=colour, linestyle=dash, linewidth=1, marker="o", markersize=3, alpha=0.8)
    axes.set(xlim=(-0.25, 1.25))
    axes.set_xticks((0, 1), list(labels))
    axes.grid(visible=False, axis="x")


def _plot_differences(axes: Axes, pairs: Pairs, names: Sequence[str]) -> None:
    axes.set_title("Difference of Dice (points)", loc="left")
    axes.axhline(0, color=EDGE_COLOUR, linewidth=0.9)
    for place, name in enumerate(names):
        values = pairs.cases[name].dropna().to_numpy(float)
        if not len(values):
            continue
        sideways = place + 0.36 * ((7 * np.arange(len(values)) % 11) / 10 - 0.5)
        colours = np.where(values > 0, BETTER, np.where(values < 0, WORSE, CONTROL_COLOUR))
        axes.scatter(sideways, values, s=9, c=colours, alpha=0.8, linewidths=0)
        axes.plot((place - 0.3, place + 0.3), (values.mean(),) * 2, color="black", linewidth=1.2)
    axes.set(xlim=(-0.6, len(names) - 0.4))
    axes.set_xticks(range(len(names)), list(names), rotation=45 if len(names) > 6 else 0)
    axes.grid(visible=False, axis="x")
