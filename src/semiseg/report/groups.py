"""Groups in place of ranks: which rows of a column cannot be told from the best one, and what is printed of it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import UNDEFINED, printed_columns
from semiseg.scoring.averages import Scores
from semiseg.scoring.conventions import CONVENTIONS
from semiseg.scoring.influence import influence
from semiseg.scoring.scoring_rule_texts import MISSED_IS_ZERO
from semiseg.scoring.ties import place

BEST, TIED, APART = "best", "tied", "apart"
ZERO = "†"  # beside a distance that counts missed cases as 0
PARTS = ("first", "rank_low", "rank_high", "group")
PLACES = tuple(f"{convention}_{part}" for convention in CONVENTIONS for part in PARTS)  # columns of the views
GROUPS = tuple(name for name in PLACES if name.endswith("_group"))
WORDS = {BEST: "best", TIED: "cannot be told from the best"}
KEYS = {name: metric for metric, name in METRICS.items()}
LOWER_KEYS = {KEYS[name] for name in LOWER_IS_BETTER}
Lines = dict[tuple[str, str], dict[str, Any]]  # method, column -> what is known of the cell


def add_places(lines: Lines, spec: TableSpec, scores: Mapping[str, Mapping[str, Scores]]) -> None:
    """Probability of being first, ranks and group of every cell under both conventions.

    scores: per method and convention. Controls have none. A row that shows the runs of another one has its places, and
    does not count twice. A distance that counts missed cases as 0 has none, and the other rows are compared without it.
    Nothing is known of a column in which a competing row has a number here, but no standard error, or no scores of the
    same test cases: the best row might be that one.
    """
    rows = [name for name in spec.rows if not is_control(name) and name not in spec.same_as]
    for convention in CONVENTIONS:
        columns = printed_columns(spec)
        flattered = [column for column in columns if is_flattering(spec, convention, column)]
        plain = [name for name in rows if not any(lines[name, column].get("missed", 0) > 0 for column in flattered)]
        alike = columns if plain == rows else [column for column in columns if column not in flattered]
        _add_places(lines, convention, alike, {name: scores.get(name) for name in rows})
        if plain != rows:
            _add_places(lines, convention, flattered, {name: scores.get(name) for name in plain})
    for copy, name in spec.same_as.items():
        for column in printed_columns(spec):
            shown = lines[name, column]
            lines[copy, column] |= {part: shown[part] for part in PLACES if part in shown}


def is_flattering(spec: TableSpec, convention: str, column: str) -> bool:
    """Whether the rule counts a missed organ as distance 0 in this column."""
    return convention == "published" and spec.published in MISSED_IS_ZERO and column in LOWER_IS_BETTER


def zeros(spec: TableSpec, lines: pd.DataFrame, convention: str) -> list[int]:
    """Per line of one column the missed cases that its distance counts as 0. Controls, which do not compete, have 0."""
    if lines.empty or not is_flattering(spec, convention, lines["column"].iloc[0]):
        return [0] * len(lines)
    competing = lines["missed"].where(~lines["method"].map(is_control)).fillna(0)
    return [int(missed) for missed in competing]


def _add_places(
    lines: Lines, convention: str, columns: list[str], scores: Mapping[str, Mapping[str, Scores] | None]
) -> None:
    """Places of some columns. scores: of each competing row; None where they are not here."""
    known = _of_same_cases({name: both[convention] for name, both in scores.items() if both is not None})
    if not known:
        return
    keys = next(iter(known.values())).columns
    found = place([influence(one) for one in known.values()], [key in LOWER_KEYS for key in keys])
    for column in (one for one in columns if KEYS.get(one, one) in keys):
        values = {name: lines[name, column].get(convention, np.nan) for name in scores}
        defined = {name: value for name, value in values.items() if not pd.isna(value)}
        if not defined or not defined.keys() <= known.keys():
            continue
        at = keys.index(KEYS.get(column, column))
        best = min(defined.values()) if column in LOWER_IS_BETTER else max(defined.values())
        if any(np.isnan(found.low[row, at]) and name in defined for row, name in enumerate(known)):
            continue  # it might be the best: its number has no error
        shared = len(defined) > 1 and len(set(defined.values())) == 1
        for row, name in enumerate(known):
            first, low, high = (float(part[row, at]) for part in (found.first, found.low, found.high))
            if name not in defined:
                continue
            group = BEST if defined[name] == best and not shared else TIED if low == 1 else APART
            told = (first, low, high, group)
            lines[name, column] |= zip((f"{convention}_{part}" for part in PARTS), told, strict=True)


def _of_same_cases(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """The rows that are tested on the cases of most rows."""
    if not scores:
        return {}
    (most, _), *_ = Counter(one.cases for one in scores.values()).most_common(1)
    return {name: one for name, one in scores.items() if one.cases == most}


def marks(lines: pd.DataFrame, view: str) -> list[str]:
    """Per line of one column ``best``, ``tied`` (it cannot be told from the best) or nothing. view: a convention."""
    return [group if group in WORDS else "" for group in lines[f"{view}_group"]]


def ranks_text(line: Any, view: str) -> str:
    """The ranks that a row may have, as ``1`` or ``2–5``; a dash where none is known."""
    low, high = getattr(line, f"{view}_rank_low"), getattr(line, f"{view}_rank_high")
    if pd.isna(low):
        return UNDEFINED
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def first_text(line: Any, view: str) -> str:
    """The probability of being first, in percent; a dash where none is known."""
    share = getattr(line, f"{view}_first")
    return UNDEFINED if pd.isna(share) else f"{100 * share:.0f} %"


def best_and_tied(lines: pd.DataFrame, view: str) -> tuple[list[str], list[str]]:
    """Methods of one column's lines that have the best number, and those that cannot be told from it."""
    groups = lines.set_index("method")[f"{view}_group"]
    return list(groups.index[groups == BEST]), list(groups.index[groups == TIED])


def is_ranked(views: pd.DataFrame) -> bool:
    """Whether the group of the best is known of any column."""
    return any(line for name in GROUPS for line in views[name])
