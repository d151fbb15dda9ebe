"""Shared by all forms of a table: its columns, the order of its rows, ranks, formats of numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.params.table_spec import TableSpec
from semiseg.scoring.comparison import FEWEST_PAIRS
from semiseg.scoring.conventions import CONVENTIONS

UNDEFINED = "–"
MINUS = "−"
DATA = {"labelled": "Labelled", "unlabelled": "Unlabelled"}
COUNTS = {"n": "n", "absent": "Absent", "missed": "Missed", "false_positive": "False pos."}


def printed_columns(spec: TableSpec) -> list[str]:
    """Columns with scores: the organs (a single organ is the mean itself), then the means of the table."""
    return (spec.abbreviations if len(spec.organs) > 1 else []) + mean_columns(spec)


def mean_columns(spec: TableSpec) -> list[str]:
    """The means of the table, by their names in print."""
    return [METRICS[metric] for metric in spec.metrics]


def main_column(spec: TableSpec) -> str:
    """Dice where it is among the means of the table, else the first of them."""
    means = mean_columns(spec)
    return METRICS["dice"] if METRICS["dice"] in means else means[0]


def methods_in_order(spec: TableSpec) -> list[str]:
    """Every row that the table should have, controls last."""
    return sorted(spec.rows, key=is_control)


def unbuilt(spec: TableSpec) -> dict[str, str]:
    """Rows that the table should have and has not, and why: the protocol cannot serve them, or their jobs failed."""
    reasons = {**spec.skipped, **spec.failed}
    return {method: reasons[method] for method in methods_in_order(spec) if method in reasons}


def read_rows(paths: Sequence[Path]) -> pd.DataFrame:
    """All rows of a table under both conventions, in the given order, controls last. UserError for a damaged row."""
    frames = [_read_row(path) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if list(frame.columns) != list(frames[0].columns):
            again = f"`snakemake -f {paths[0]} {path}`"
            raise UserError(f"{path} has other columns than {paths[0]}: build both again with {again}")
    frames.sort(key=lambda frame: is_control(frame["method"].iloc[0]))
    return pd.concat(frames, ignore_index=True)


def _read_row(path: Path) -> pd.DataFrame:
    again = f"build it with `snakemake -f {path}`"
    try:
        # a method may be printed as NA, so only an empty field is undefined
        frame = pd.read_csv(path, dtype={"method": str, "label": str}, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {again}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a row ({error}): {again}") from None
    if "convention" not in frame or sorted(frame["convention"]) != sorted(CONVENTIONS):
        raise UserError(f"{path} needs two lines, published and sound: {again}")
    return frame


def lines_of(frame: pd.DataFrame) -> list[Any]:
    """The lines of a frame, one after the other; columns are attributes."""
    return list(frame.itertuples())


def under(table: pd.DataFrame, convention: str) -> pd.DataFrame:
    """The rows of a table under one convention."""
    return table[table["convention"] == convention].reset_index(drop=True)


def with_unbuilt(spec: TableSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """One convention's rows in the table's order, and among them, without numbers, those that were not built."""
    missing = list(unbuilt(spec))
    head = {"method": missing, "label": [spec.label(method) for method in missing]}
    same = {name: frame[name].iloc[0] for name in ("convention", "rule", "unit", "spread_over")}
    every = pd.concat([frame, pd.DataFrame(head).assign(**same)]) if missing else frame
    order = {method: place for place, method in enumerate(methods_in_order(spec))}
    whole = every.sort_values("method", key=lambda column: column.map(order), kind="stable", ignore_index=True)
    return whole.astype(dict.fromkeys([*DATA, *COUNTS], "Int64"))


def heading(column: str, unit: str) -> str:
    """A mean's name with its unit: percent for overlaps, voxel or mm for distances; an organ's name as it is."""
    return f"{column} ({unit_of(column, unit)})" if column in METRICS.values() else column


def unit_of(column: str, unit: str) -> str:
    """Percent, or a convention's unit of distances."""
    return unit if column in LOWER_IS_BETTER else "%"


def shares(frame: pd.DataFrame, column: str) -> list[float | None]:
    """Per row its place between the worst (0) and the best (1) of the column; None without a place."""
    values = competing(frame, column)
    low, high = values.min(), values.max()
    if not high > low:
        return [None] * len(values)
    places = (values - low) / (high - low)
    if column in LOWER_IS_BETTER:
        places = 1 - places
    return [None if pd.isna(place) else float(place) for place in places]


def competing(frame: pd.DataFrame, column: str) -> pd.Series:
    """A column's numbers with the controls' left out (NaN)."""
    return frame[column].astype(float).where(~frame["method"].map(is_control))


def shown(value: Any, form: str) -> str:
    """A value in a format of Python's mini-language, or a dash for what is undefined."""
    return UNDEFINED if pd.isna(value) else format(value, form)


def number(value: float) -> str:
    """Two decimals, or a dash for what is undefined."""
    return shown(value, ".2f")


def signed(value: float) -> str:
    """A difference with its sign."""
    return shown(value, "+.2f").replace("-", MINUS)


def interval(low: float, high: float) -> str:
    """An interval in brackets, or nothing where it is undefined."""
    return "" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]"


def probability(value: float) -> str:
    """Three decimals, or a power of ten where these are zero."""
    return shown(value, ".0e" if value < 0.001 else ".3f").replace("-", MINUS)


def p_text(line: Any) -> str:
    """The corrected p of a line of the views, why it is undefined, or a dash where nothing was tested."""
    if pd.isna(line.p_holm) and not pd.isna(line.effect):
        few = "too few cases" if line.n < FEWEST_PAIRS else f"fewer than {FEWEST_PAIRS} cases differ"
        return f"undefined: {few}"
    return probability(line.p_holm)


def count(value: Any) -> str:
    """A whole number, or a dash for what is undefined."""
    return shown(value, "d")


def spread(frame: pd.DataFrame, row: int, column: str) -> str:
    """A cell's ± SD where the column has a spread that is defined, else nothing."""
    deviation = frame[f"{column} SD"][row] if f"{column} SD" in frame else float("nan")
    return "" if pd.isna(deviation) else f" ± {deviation:.2f}"


def with_spread(frame: pd.DataFrame, row: int, column: str) -> str:
    """A cell's text: mean, and ± SD where it is defined."""
    return number(frame[column][row]) + spread(frame, row, column)
