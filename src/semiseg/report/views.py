"""Three views of a table: in print, rebuilt under the paper's rule, rebuilt under the sound rule; one line per cell."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.metric_names import LOWER_IS_BETTER
from semiseg.papers.reading import printed
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import methods_in_order, printed_columns, unbuilt, under
from semiseg.report.groups import GROUPS, KEYS, PLACES, Lines, add_places
from semiseg.scoring.averages import EMPTY_ORGANS, Scores, gather, per_case
from semiseg.scoring.cases import read_cases
from semiseg.scoring.comparison import LEVEL, compare, holm
from semiseg.scoring.conventions import CONVENTIONS, scoring_rules
from semiseg.scoring.intervals import confidence

PRINT = ("printed", "printed_spread", "printed_spread_over", "printed_flag")
SCORES = (
    *("published", "published_spread", "published_low", "published_high", "difference"),
    *("sound", "sound_low", "sound_high", "rule_change"),
)
COUNTS = ("n", "seeds", "absent", "missed", "false_positive")
TESTS = ("p", "p_holm", "effect")
VIEWS = ("method", "label", "column", *PRINT, *SCORES, *COUNTS, *TESTS, *PLACES, "reason")
OPTIMISM = (  # of rows whose checkpoint is chosen on the test list, in tables that have such rows beside the last
    *("published_optimism", "published_optimism_low", "published_optimism_high"),
    *("sound_optimism", "sound_optimism_low", "sound_optimism_high"),
)
DECIMALS = {
    **dict.fromkeys(("printed", "printed_spread", *SCORES, *OPTIMISM), ".2f"),
    **dict.fromkeys(("p", "p_holm"), ".4g"),
    "effect": ".3f",
    **{name: ".3f" if name.endswith("first") else ".0f" for name in PLACES if name not in GROUPS},
}
Views = pd.DataFrame


def build_views(
    spec: TableSpec, table: pd.DataFrame, scores: Mapping[str, Mapping[str, Scores]] | None = None
) -> Views:
    """A line per row and printed column, with the columns ``VIEWS`` (described in docs/read-a-table.md).

    table: rows of both conventions. scores: of ``read_scores``, which is called where they are not given. Intervals
    and tests are NaN for a row whose score tables are not on this machine, and for rows that were not built; these have
    their reason in ``reason``. The columns ``OPTIMISM`` are there where ``optimistic`` finds rows.
    """
    columns, reasons = printed_columns(spec), unbuilt(spec)
    lines: Lines = {
        (method, column): {"label": spec.label(method), "reason": reasons.get(method, "")}
        for method in methods_in_order(spec)
        for column in columns
    }
    _add_print(lines, spec)
    for convention in CONVENTIONS:
        _add_row_numbers(lines, under(table, convention), convention)
    scores = read_scores(spec) if scores is None else scores
    for method, conventions in scores.items():
        _add_intervals(lines, method, conventions, columns)
    _add_tests(lines, spec, {method: per_case(both["sound"]) for method, both in scores.items()})
    add_places(lines, spec, scores)
    pairs = optimistic(spec)
    for pair in pairs.items():
        _add_optimism(lines, pair, scores, columns)
    records = [{"method": method, "column": column, **line} for (method, column), line in lines.items()]
    views = pd.DataFrame(records, columns=[*VIEWS, *(OPTIMISM if pairs else ())])
    numbers = [name for name in (*DECIMALS, *COUNTS) if name in views]
    views[numbers] = views[numbers].astype(float)
    views[list(GROUPS)] = views[list(GROUPS)].astype(object).fillna("")
    views["difference"] = (views["published"] - views["printed"]).round(2) + 0.0  # no minus zero
    # voxels and mm do not subtract
    alike = ~views["column"].isin(LOWER_IS_BETTER) | (table["unit"].nunique() == 1)
    views["rule_change"] = ((views["sound"] - views["published"]).round(2) + 0.0).where(alike)
    return views


def as_csv(views: Views) -> str:
    """The views as text: scores with two decimals, p with four digits, whole counts; undefined is empty."""
    texts = views.copy()
    for name, form in {**DECIMALS, **dict.fromkeys(COUNTS, ".0f")}.items():
        if name in views:
            texts[name] = [_text(value, form) for value in views[name]]
    return texts.to_csv(index=False, lineterminator="\n")


def of_column(views: Views, column: str) -> Views:
    """The lines of one column, one per row of the table, in its order."""
    return views[views["column"] == column].reset_index(drop=True)


def is_printed(views: Views) -> bool:
    """Whether any number of the table is known in print."""
    return bool(views["printed"].notna().any())


def optimistic(spec: TableSpec) -> dict[str, str]:
    """Rows whose checkpoint is the best on the test list -> the rows with the last one of the same training."""
    found = {method: one.last for method, one in spec.checkpoints.items() if one.rule == "best_test"}
    return {row: last for row, last in found.items() if last is not None and {row, last} <= spec.runs.keys()}


def verdict(line: Any) -> int:
    """1 where a method differs from the reference after Holm's correction and is better, -1 where worse, else 0."""
    return int(np.sign(line.effect)) if line.p_holm <= LEVEL else 0


def largest_rule_change(views: Views) -> pd.Series | None:
    """The line whose number the choice of rule changes most (percent counts); None where it changes none."""
    rows = views[~views["method"].map(is_control) & ~views["column"].isin(LOWER_IS_BETTER)]
    changes = rows["rule_change"].abs()
    return rows.iloc[int(changes.argmax())] if changes.max() > 0 else None


def _text(value: float, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)


def _add_print(lines: Lines, spec: TableSpec) -> None:
    """Numbers of the first block in print that has the row, under any of its names."""
    blocks = [printed(one.paper, one.table, one.labelled, one.unlabelled) for one in spec.printed]
    for method, names in spec.names.items():
        having = (block[block["row"] == name] for block in blocks for name in names)
        block = next((rows for rows in having if len(rows)), pd.DataFrame(columns=["column"]))
        for cell in block.to_dict("records"):
            if (method, cell["column"]) in lines:
                values = (cell[name] for name in ("value", "spread", "spread_over", "flag"))
                lines[method, cell["column"]] |= zip(PRINT, values, strict=True)


def _add_row_numbers(lines: Lines, frame: pd.DataFrame, convention: str) -> None:
    rows = {row["method"]: row for row in frame.to_dict("records")}
    for (method, column), line in lines.items():
        if method not in rows:
            continue
        row = rows[method]
        line[convention] = row[column]
        if convention == "published":
            line["published_spread"] = row.get(f"{column} SD")
        else:
            line |= {name: row[name] for name in COUNTS}


def read_scores(spec: TableSpec) -> dict[str, dict[str, Scores]]:
    """Per method the values of its runs under both conventions; a method that lacks a run here is left out."""
    found = {}
    for method, folders in spec.runs.items():
        paths = [Path(folder) / "cases.csv" for folder in folders]
        if all(path.exists() for path in paths):
            runs = [read_cases(path) for path in paths]
            found[method] = {
                convention: gather(rule, runs, spec.abbreviations)
                for convention, rule in scoring_rules(spec.published).items()
            }
    return found


def _add_intervals(lines: Lines, method: str, scores: Mapping[str, Scores], columns: list[str]) -> None:
    """Intervals of both conventions; an organ's own counts of empty masks, on the raw grid."""
    for convention, values in scores.items():
        intervals = confidence(values)
        for column in columns:
            low, high = intervals.loc[KEYS.get(column, column)]
            lines[method, column] |= {f"{convention}_low": low, f"{convention}_high": high}
    empty = scores["sound"].empty
    for organ in (column for column in columns if column in empty.index):
        lines[method, organ] |= zip(EMPTY_ORGANS, empty.loc[organ, list(EMPTY_ORGANS)], strict=True)


def _add_optimism(
    lines: Lines, pair: tuple[str, str], scores: Mapping[str, Mapping[str, Scores]], columns: list[str]
) -> None:
    """The best on the test list minus the last, in the numbers of the table, with intervals where scores are here."""
    best, last = pair
    for convention in CONVENTIONS:
        name = f"{convention}_optimism"
        for column in columns:
            less = lines[last, column][convention]
            lines[best, column][name] = round(lines[best, column][convention] - less, 2) + 0.0  # no minus zero
        if not {best, last} <= scores.keys():
            continue
        intervals = confidence(scores[best][convention], scores[last][convention])
        for column in columns:
            low, high = intervals.loc[KEYS.get(column, column)] + 0.0
            lines[best, column] |= {f"{name}_low": low, f"{name}_high": high}


def _add_tests(lines: Lines, spec: TableSpec, cases: Mapping[str, pd.DataFrame]) -> None:
    """Tests of every method against the reference under the sound rule, corrected within a column."""
    reference = cases.get(spec.reference)
    if reference is None:
        return
    # one computation that stands in two rows is one test
    rivals = [name for name in cases if not is_control(name) and name != spec.reference and name not in spec.same_as]
    for column in printed_columns(spec):
        key, lower = KEYS.get(column, column), column in LOWER_IS_BETTER
        found = {name: compare(cases[name][key], reference[key], lower_is_better=lower) for name in rivals}
        corrected = holm({name: result.p for name, result in found.items()})
        for name in cases:
            if (tested := spec.same_as.get(name, name)) in found:
                result = found[tested]
                lines[name, column] |= {"p": result.p, "p_holm": corrected[tested], "effect": result.effect}
