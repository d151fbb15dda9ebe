"""The page's tables of all columns: in print, rebuilt under either convention, and the difference to print."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.metric_names import LOWER_IS_BETTER
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import (
    COUNTS,
    DATA,
    UNDEFINED,
    competing,
    count,
    heading,
    lines_of,
    mean_columns,
    number,
    printed_columns,
    shares,
    signed,
    spread,
    under,
    with_unbuilt,
)
from semiseg.report.grids import missed_texts
from semiseg.report.groups import ZERO, marks, zeros
from semiseg.report.notes import FLAGS, MARKS, SPREADS, about_print, printed_over
from semiseg.report.views import Views, is_printed, of_column, verdict
from semiseg.scoring.conventions import CONVENTIONS
from semiseg.scoring.scoring_rule_texts import rule_text

Cells = list[dict[str, str]]

LIMITS = ("percent", *sorted(LOWER_IS_BETTER))


def score_tables(spec: TableSpec, table: pd.DataFrame, views: Views) -> list[dict[str, Any]]:
    """What the template lays out, table by table; without numbers in print only the two conventions."""
    published, sound = (with_unbuilt(spec, under(table, convention)) for convention in CONVENTIONS)
    made = [_convention(spec, published, views), _convention(spec, sound, views)]
    if not is_printed(views):
        return made
    in_print = _view(spec, views, "printed", "printed_spread")
    difference, limits = _view(spec, views, "difference"), difference_limits(views)
    unit, colours = str(published["unit"][0]), _about_colours(spec, limits)
    return [
        _lay_out(
            spec,
            in_print,
            "In print",
            " ".join(about_print(spec, views)),
            unit,
            printed_over(views),
            _printed_cells(views),
        ),
        made[0],
        _lay_out(spec, difference, "Published minus printed", colours, unit, "", _difference_cells(limits)),
        made[1],
    ]


def difference_limits(views: Views) -> dict[str, float]:
    """The largest absolute difference to print, of all percentages and of each distance: ends of the colour scale."""
    sizes = views[~views["method"].map(is_control)].assign(kind=views["column"].map(_kind))
    largest = sizes["difference"].abs().groupby(sizes["kind"]).max()
    return {kind: float(largest.dropna().get(kind, 0.0)) for kind in LIMITS}


def shade_difference(value: float, column: str, limits: Mapping[str, float]) -> str:
    """Background of a difference to print, from worse to better; nothing where there is none."""
    limit = limits[_kind(column)]
    if pd.isna(value) or not limit:
        return ""
    gain = -value if column in LOWER_IS_BETTER else value
    return shade("above" if gain > 0 else "below", min(abs(gain) / limit, 1.0))


def shade(end: str, share: float | None) -> str:
    """Background between the page's own colour and that of an end of a scale, as the page's style reads it.

    end: best, above or below, colours of ``page.css``. share: from 0 to 1; None without a place.
    """
    return "" if share is None else f"--end: var(--{end}); --share: {100 * share:.0f}%"


def score_cells(frame: pd.DataFrame, column: str, groups: Sequence[str], signs: Sequence[str]) -> Cells:
    """Mean, spread, group, background and a sign beside it of each cell of a column.

    A distance that counts missed cases as 0 has no background, and no other one is measured by it.
    """
    compared = frame.assign(**{column: frame[column].mask(np.array([sign == ZERO for sign in signs]))})
    places = zip(groups, shares(compared, column), signs, strict=True)
    return [
        {
            "mean": number(frame[column][row]),
            "spread": spread(frame, row, column),
            "group": group,
            "background": shade("best", share),
            "mark": sign,
            "missed": "",
        }
        for row, (group, share, sign) in enumerate(places)
    ]


def _convention(spec: TableSpec, frame: pd.DataFrame, views: Views) -> dict[str, Any]:
    name, rule = str(frame["convention"][0]), str(frame["rule"][0])

    def cells(column: str) -> Cells:
        lines = of_column(views, column)
        flattered = zeros(spec, lines, name)
        marked = [MARKS[verdict(line)] if name == "sound" else "" for line in lines_of(lines)]
        signs = [ZERO if number else sign for number, sign in zip(flattered, marked, strict=True)]
        made = score_cells(frame, column, marks(lines, name), signs)
        lost = missed_texts(spec, lines, column)
        return [{**cell, "missed": text.strip()} for cell, text in zip(made, lost, strict=True)]

    title = f"{name.capitalize()} convention (rule {rule})"
    text, unit = rule_text(rule, frame["spread_over"][0]), str(frame["unit"][0])
    over = SPREADS[frame["spread_over"][0]] if frame.filter(like=" SD").notna().any(axis=None) else ""
    laid_out = _lay_out(spec, frame, title, text, unit, over, lambda _, column: cells(column))
    for row, line in zip(laid_out["rows"], frame.to_dict("records"), strict=True):
        row["data"] = [UNDEFINED if row["control"] else count(line[name]) for name in DATA]
        row["counts"] = [count(line[name]) for name in COUNTS]
    return {**laid_out, "counted": True}


def _lay_out(
    spec: TableSpec,
    frame: pd.DataFrame,
    title: str,
    words: str,
    unit: str,
    spread_over: str,
    cells: Callable[[pd.DataFrame, str], Cells],
) -> dict[str, Any]:
    means = mean_columns(spec)
    organs = [column for column in printed_columns(spec) if column not in means and column in frame]
    made = {column: cells(frame, column) for column in (*means, *organs)}
    rows = [
        {
            "method": method,
            "label": frame["label"][row],
            "control": is_control(method),
            "means": [made[column][row] for column in means],
            "organs": [made[column][row] for column in organs],
        }
        for row, method in enumerate(frame["method"])
    ]
    return {
        "title": title,
        "words": words,
        "means": [heading(column, unit) for column in means],
        "spread": spread_over,
        "organs": [organ for organ in spec.organs if organ.abbreviation in organs],
        "rows": rows,
        "counted": False,
    }


def _view(spec: TableSpec, views: Views, view: str, deviation: str | None = None) -> pd.DataFrame:
    """A frame of one view: a row per method, without controls, which nobody prints, and organs of which nothing is."""
    columns = [
        column
        for column in printed_columns(spec)
        if column in mean_columns(spec) or of_column(views, column)["printed"].notna().any()
    ]
    frame = of_column(views, columns[0])[["method", "label"]]
    for column in columns:
        frame[column] = of_column(views, column)[view]
        if deviation is not None:
            frame[f"{column} SD"] = of_column(views, column)[deviation]
    return frame[~frame["method"].map(is_control)].reset_index(drop=True)


def _printed_cells(views: Views) -> Callable[[pd.DataFrame, str], Cells]:
    def cells(frame: pd.DataFrame, column: str) -> Cells:
        flags = of_column(views, column).set_index("method")["printed_flag"]
        signs = [FLAGS.get(flags[method], "") for method in frame["method"]]
        return score_cells(frame, column, [""] * len(frame), signs)  # print gives no cases, so nothing can be compared

    return cells


def _difference_cells(limits: Mapping[str, float]) -> Callable[[pd.DataFrame, str], Cells]:
    def cells(frame: pd.DataFrame, column: str) -> Cells:
        values = competing(frame, column)
        blank = {"spread": "", "group": "", "mark": "", "missed": ""}
        return [
            {**blank, "mean": signed(value), "background": shade_difference(value, column, limits)} for value in values
        ]

    return cells


def _about_colours(spec: TableSpec, limits: Mapping[str, float]) -> str:
    named = {"percent": "percentages", **{column: column for column in mean_columns(spec) if column in LOWER_IS_BETTER}}
    ends = ", ".join(f"{limits[kind]:.2f} ({name})" for kind, name in named.items() if limits[kind])
    return f"Orange: worse than printed; purple: better; deepest at a difference of {ends}."


def _kind(column: str) -> str:
    return column if column in LOWER_IS_BETTER else "percent"
