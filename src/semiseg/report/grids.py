"""The cells of a table as texts with marks (best, tied, control); Markdown and LaTeX format the marks."""

from dataclasses import dataclass

import pandas as pd

from semiseg.base.controls import is_control
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import (
    COUNTS,
    DATA,
    MINUS,
    UNDEFINED,
    count,
    heading,
    interval,
    lines_of,
    mean_columns,
    number,
    p_text,
    printed_columns,
    signed,
    unit_of,
    with_spread,
)
from semiseg.report.groups import ZERO, first_text, marks, ranks_text, zeros
from semiseg.report.notes import MARKS
from semiseg.report.views import Views, is_printed, of_column, optimistic, verdict
from semiseg.scoring.conventions import CONVENTIONS


@dataclass(frozen=True)
class Grid:
    """A header, and rows of cells: a text and its mark (best, tied, control or nothing)."""

    head: list[str]
    rows: list[list[tuple[str, str]]]
    controls: int


def about_cells(spec: TableSpec, views: Views) -> str:
    """How to read the cells; the sign of missed organs is explained where it occurs."""
    lost = "; ×2: the organ was missed in two cases, all runs counted" if has_missed(spec, views) else ""
    return (
        f"Organ columns are Dice in percent{lost}. Best bold; underlined: cannot be told from the best. Rows marked as"
        " controls do not compete. n: test cases; absent, missed, false positive: pairs of case and organ."
    )


def has_missed(spec: TableSpec, views: Views) -> bool:
    """Whether a cell has the sign of missed organs."""
    return any(any(missed_texts(spec, of_column(views, column), column)) for column in printed_columns(spec))


def scores_grid(spec: TableSpec, frame: pd.DataFrame, views: Views) -> Grid:
    """All scores of one convention with what they rest on; frame: `cells.with_unbuilt`'s."""
    columns = printed_columns(spec)
    head = ["Method", *DATA.values(), *(heading(column, frame["unit"][0]) for column in columns), *COUNTS.values()]
    places = {column: marks(of_column(views, column), frame["convention"][0]) for column in columns}
    lost = {column: missed_texts(spec, of_column(views, column), column) for column in columns}
    zero = {column: zeros(spec, of_column(views, column), frame["convention"][0]) for column in columns}
    rows = []
    for row, method in enumerate(frame["method"]):
        control = "control" if is_control(method) else ""
        cells = [(_label(frame["label"][row], method), control)]
        cells += [(UNDEFINED if control else count(frame[name][row]), control) for name in DATA]
        for name in columns:
            text = with_spread(frame, row, name) + lost[name][row] + ZERO * (zero[name][row] > 0)
            cells.append((text, control or places[name][row]))
        rows.append(cells + [(count(frame[name][row]), control) for name in COUNTS])
    return Grid(head, rows, sum(map(is_control, frame["method"])))


def views_grid(spec: TableSpec, table: pd.DataFrame, views: Views, column: str) -> Grid:
    """One mean in all views, with intervals and test; without printed numbers the columns of print are left out."""
    lines = of_column(views, column)
    units = {name: unit_of(column, unit) for name, unit in zip(table["convention"], table["unit"], strict=True)}
    known = is_printed(views)
    head = [column, f"Printed ({units['published']})"] if known else [column]
    head += [f"Published ({units['published']})", *(["Difference"] if known else [])]
    head += [f"Sound ({units['sound']})", "First", "Ranks", "p (Holm)", "Effect"]
    places, zero = {view: marks(lines, view) for view in CONVENTIONS}, zeros(spec, lines, "published")
    rows = []
    for row, line in enumerate(lines_of(lines)):
        control = "control" if is_control(line.method) else ""
        deviation = "" if pd.isna(line.printed_spread) else f" ± {line.printed_spread:.2f}"
        published = number(line.published) + interval(line.published_low, line.published_high) + ZERO * (zero[row] > 0)
        sound = number(line.sound) + interval(line.sound_low, line.sound_high)
        cells = [(_label(line.label, line.method), control)]
        cells += [(number(line.printed) + deviation, control)] if known else []
        cells += [(published, control or places["published"][row])]
        cells += [(signed(line.difference), control)] if known else []
        cells += [(" ".join([sound, *filter(None, [MARKS[verdict(line)]])]), control or places["sound"][row])]
        p = "reference" if line.method == spec.reference else p_text(line)
        told = (first_text(line, "sound"), ranks_text(line, "sound"), p, signed(line.effect))
        rows.append([*cells, *((text, control) for text in told)])
    return Grid(head, rows, sum(map(is_control, lines["method"])))


def optimism_grid(spec: TableSpec, table: pd.DataFrame, views: Views) -> Grid:
    """What the choice on the test list added to each mean under both conventions, with intervals; a row per choice."""
    units = dict(zip(table["convention"], table["unit"], strict=True))
    pairs = [(column, convention) for column in mean_columns(spec) for convention in CONVENTIONS]
    head = [
        "Optimism",
        *(f"{column}, {convention} ({unit_of(column, units[convention])})" for column, convention in pairs),
    ]
    rows = []
    for method in optimistic(spec):
        lines = {line.column: line for line in lines_of(views[views["method"] == method])}
        cells = [(spec.label(method), "")]
        for column, convention in pairs:
            found = (getattr(lines[column], f"{convention}_optimism{end}") for end in ("", "_low", "_high"))
            difference, low, high = found
            cells.append((signed(difference) + interval(low, high).replace("-", MINUS), ""))
        rows.append(cells)
    return Grid(head, rows, 0)


def missed_texts(spec: TableSpec, lines: Views, column: str) -> list[str]:
    """Per line of one column `` ×2`` where an organ was missed in two cases of all runs, else nothing."""
    if column not in spec.abbreviations:
        return [""] * len(lines)
    return [
        f" ×{line.missed:.0f}" if line.missed > 0 and not is_control(line.method) else "" for line in lines_of(lines)
    ]


def _label(label: str, method: str) -> str:
    return label + (" (control)" if is_control(method) else "")
