"""Scores of single test cases, row by row, worst case first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.params.table_spec import TableSpec
from semiseg.paths import TABLE
from semiseg.report.cells import main_column, mean_columns, printed_columns
from semiseg.scoring import case_table
from semiseg.scoring.averages import Scores, gather, per_case
from semiseg.scoring.cases import read_cases
from semiseg.scoring.conventions import scoring_rules


@dataclass(frozen=True)
class CaseScores:
    """The test cases of a row under one convention.

    values: index case, the worst of ``semiseg.report.cells.main_column`` first; columns as in the table, without
    organs whose Dice is not known of any case; NaN where nothing of the case counts. They are averaged over the runs of
    the row. runs: the same cases in the same order, per seed the value of the main column; no columns where the row has
    one run. unit: of distances.
    """

    values: pd.DataFrame
    runs: pd.DataFrame
    rule: str
    unit: str


def read_case_scores(spec: TableSpec) -> dict[str, dict[str, CaseScores]]:
    """Per row that is built and convention the scores of its cases; nothing of a row whose scores are not here.

    They stand in ``results/TABLE.cases.csv``; those of a table that was built without that file are computed from the
    score tables of its runs. Raises UserError where a file is damaged.
    """
    path = Path(TABLE.format(table=spec.table)).with_suffix(case_table.SUFFIX)
    if not path.exists():
        return {method: _of_runs(spec, method) for method in spec.runs}
    lines, rules = case_table.read(path), scoring_rules(spec.published)
    here = set(lines["method"])
    return {
        method: {
            name: _shown(spec, method, rule, case_table.scores_of(lines, method, name, rule))
            for name, rule in rules.items()
        }
        if method in here
        else {}
        for method in spec.runs
    }


def _of_runs(spec: TableSpec, method: str) -> dict[str, CaseScores]:
    paths = [Path(folder) / "cases.csv" for folder in spec.runs[method]]
    if not all(path.exists() for path in paths):
        return {}
    runs = [read_cases(path) for path in paths]
    rules = scoring_rules(spec.published)
    return {name: _shown(spec, method, rule, gather(rule, runs, spec.abbreviations)) for name, rule in rules.items()}


def _shown(spec: TableSpec, method: str, rule: str, scores: Scores) -> CaseScores:
    means, main = mean_columns(spec), main_column(spec)
    organs = [column for column in printed_columns(spec) if column not in means]
    values = per_case(scores).rename(columns=METRICS).reindex(columns=[*means, *organs])
    known = [organ for organ in organs if values[organ].notna().any()]
    ordered = values[[*means, *known]].sort_values(
        main, ascending=main not in LOWER_IS_BETTER, kind="stable", na_position="last"
    )
    runs = _per_run(spec, method, scores).reindex(ordered.index)
    return CaseScores(ordered, runs, rule, scores.rule.unit)


def _per_run(spec: TableSpec, method: str, scores: Scores) -> pd.DataFrame:
    seeds = [Path(folder).name.removeprefix("seed") for folder in spec.runs[method]]
    if not len(scores.values) == len(seeds) > 1:
        return pd.DataFrame(index=list(scores.cases))
    main = next(metric for metric, name in METRICS.items() if name == main_column(spec))
    parts = [replace(scores, values=scores.values[[run]]) for run in range(len(seeds))]
    return pd.DataFrame({seed: per_case(part)[main] for seed, part in zip(seeds, parts, strict=True)})


def worst_case(scores: Mapping[str, CaseScores]) -> str | None:
    """The first case under the sound rule, which is the worst; None without scores."""
    return str(scores["sound"].values.index[0]) if scores else None
