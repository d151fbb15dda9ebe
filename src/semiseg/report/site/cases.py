"""Scores of single test cases, row by row, worst case first."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from semiseg.base.metric_names import METRICS
from semiseg.params.table_spec import TableSpec
from semiseg.paths import TABLE
from semiseg.report.cells import mean_columns, printed_columns
from semiseg.scoring.averages import gather, per_case
from semiseg.scoring.cases import read_cases
from semiseg.scoring.conventions import scoring_rules
from semiseg.scoring.scoring_rules import get_rule


@dataclass(frozen=True)
class CaseScores:
    """The test cases of a row under one convention.

    values: index case, the worst mean Dice first; columns as in the table; NaN where nothing of the case counts. They
    are averaged over the runs of the row. unit: of distances.
    """

    values: pd.DataFrame
    rule: str
    unit: str


def read_case_scores(spec: TableSpec) -> dict[str, dict[str, CaseScores]]:
    """Per row that is built and convention the scores of its cases; nothing of a row whose scores are not here.

    They stand in ``results/TABLE.cases.csv``; those of a table that was built without that file are computed from the
    score tables of its runs.
    """
    path = Path(TABLE.format(table=spec.table)).with_suffix(".cases.csv")
    if not path.exists():
        return {method: _of_runs(spec, method) for method in spec.runs}
    lines = pd.read_csv(
        path, dtype=dict.fromkeys(("method", "case", "organ"), str), keep_default_na=False, na_values=[""]
    )
    means, row = mean_columns(spec), ["method", "convention", "case"]
    values = lines.groupby([*row, "seed"])[means].mean().groupby(row).mean()
    if len(spec.organs) > 1:
        values = values.join(lines.groupby([*row, "organ"])["Dice"].mean().unstack("organ")[spec.abbreviations])
    here = set(values.index.get_level_values("method"))
    rules = scoring_rules(spec.published)
    return {
        method: {name: _scores(spec, rule, pd.DataFrame(values.xs((method, name)))) for name, rule in rules.items()}
        for method in spec.runs
        if method in here
    } | {method: {} for method in spec.runs if method not in here}


def _of_runs(spec: TableSpec, method: str) -> dict[str, CaseScores]:
    paths = [Path(folder) / "cases.csv" for folder in spec.runs[method]]
    if not all(path.exists() for path in paths):
        return {}
    runs = [read_cases(path) for path in paths]
    rules = scoring_rules(spec.published)
    values = {name: per_case(gather(rule, runs, spec.abbreviations)) for name, rule in rules.items()}
    return {name: _scores(spec, rule, values[name].rename(columns=METRICS)) for name, rule in rules.items()}


def _scores(spec: TableSpec, rule: str, values: pd.DataFrame) -> CaseScores:
    means = mean_columns(spec)
    columns = [*means, *(column for column in printed_columns(spec) if column not in means)]
    ordered = values[columns].sort_values(means[0], kind="stable", na_position="last")
    return CaseScores(ordered, rule, get_rule(rule).unit)


def worst_case(scores: Mapping[str, CaseScores]) -> str | None:
    """The case with the lowest mean Dice under the sound rule; None without scores."""
    return str(scores["sound"].values.index[0]) if scores else None
