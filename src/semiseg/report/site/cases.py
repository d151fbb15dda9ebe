"""Scores of single test cases, row by row, worst case first."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import mean_columns, printed_columns
from semiseg.scoring.averages import gather, per_case
from semiseg.scoring.cases import read_cases
from semiseg.scoring.conventions import scoring_rules
from semiseg.scoring.scoring_rules import get_rule
from semiseg.base.metric_names import METRICS

KEYS = {name: metric for metric, name in METRICS.items()}


@dataclass(frozen=True)
class CaseScores:
    """The test cases of a row under one convention.

    values: index case, the worst mean Dice first; columns as in the table; NaN where nothing of the case counts. They
    are averaged over the runs of the row. unit: of distances.
    """

    values: pd.DataFrame
    rule: str
    unit: str


def read_case_scores(spec: TableSpec, method: str) -> dict[str, CaseScores]:
    """By convention the scores of a row's cases; nothing where the score table of a run is not on this machine."""
    paths = [Path(folder) / "cases.csv" for folder in spec.runs[method]]
    if not all(path.exists() for path in paths):
        return {}
    runs = [read_cases(path) for path in paths]
    means = mean_columns(spec)
    columns = [*means, *(column for column in printed_columns(spec) if column not in means)]
    found = {}
    for convention, rule in scoring_rules(spec.published).items():
        values = per_case(gather(rule, runs, spec.abbreviations))
        values = values[[KEYS.get(column, column) for column in columns]].set_axis(columns, axis="columns")
        ordered = values.sort_values(METRICS["dice"], kind="stable", na_position="last")
        found[convention] = CaseScores(ordered, rule, get_rule(rule).unit)
    return found


def worst_case(scores: Mapping[str, CaseScores]) -> str | None:
    """The case with the lowest mean Dice under the sound rule; None without scores."""
    return str(scores["sound"].values.index[0]) if scores else None
