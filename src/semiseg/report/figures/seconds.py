"""Seconds of a training step of each row of a table, as bars."""

from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from semiseg.base.errors import UserError
from semiseg.params.table_spec import TableSpec
from semiseg.report.colours import PALETTE
from semiseg.report.figures.saving import FILE_STYLE, add_heading

WIDTH_INCHES, BAR_INCHES, BESIDE_INCHES = 6.5, 0.32, 1.3  # of the figure, for a bar, above and below all bars


def draw_seconds(spec: TableSpec, measured: Path) -> Figure:
    """A bar per training, the quickest at the top; whiskers are the quartiles of the steps.

    measured: what the rule ``seconds`` writes. Raises UserError where it is missing or damaged.
    """
    frame = _read(measured).sort_values("seconds", ascending=False, kind="stable")
    with matplotlib.rc_context(FILE_STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, BESIDE_INCHES + BAR_INCHES * len(frame)), layout="constrained")
        axes = figure.add_subplot()
        ends = [frame["seconds"] - frame["low"], frame["high"] - frame["seconds"]]
        axes.barh(frame["label"], frame["seconds"], 0.7, color=PALETTE[0], xerr=ends, error_kw={"capsize": 2.5})
        for place, (middle, high) in enumerate(zip(frame["seconds"], frame["high"], strict=True)):
            axes.annotate(f"{middle:.3f}", (high, place), (4, 0), textcoords="offset points", va="center", fontsize=7)
        axes.set_xlim(0, 1.15 * frame["high"].max())
        axes.set_xlabel("seconds")
        axes.grid(visible=False, axis="y")
        crops = ", ".join(dict.fromkeys(f"{line.crops} of {line.patch}" for line in frame.itertuples()))
        add_heading(
            figure,
            spec.title,
            f"Seconds of a training step, in turn on one device ({frame['device'].iloc[0]})",
            f"Median of {frame['steps'].iloc[0]} steps, whiskers: quartiles; crops of a step: {crops} voxels",
        )
    return figure


def _read(measured: Path) -> pd.DataFrame:
    again = f"build it with `snakemake -f {measured}`"
    try:
        frame = pd.read_csv(measured, dtype={"method": str, "label": str}, keep_default_na=False)
        return frame.astype({"seconds": float, "low": float, "high": float, "steps": int})
    except FileNotFoundError:
        raise UserError(f"{measured} is missing: {again}") from None
    except (ValueError, KeyError) as error:
        raise UserError(f"{measured} does not hold seconds of steps ({error}): {again}") from None
