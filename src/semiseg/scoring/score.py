"""From measurements (``cases.csv``) to the numbers of a table's row, by a named rule of ``scoring_rules.py``."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS
from semiseg.scoring.bootstrap import resampled
from semiseg.scoring.cases import LENGTHS, _require_columns
from semiseg.scoring.scoring_rules import Rule, Spread, Unit, Values, get_rule


@dataclass(frozen=True)
class Summary:
    """Runs of one row of a table, scored by one rule.

    organs: index organ abbreviation in the order of the score table, columns dice and jaccard (percent), asd and hd95
        (in ``unit``), averaged over runs; NaN where the rule does not define a metric or no case has the organ.
    means: overall mean of each metric. spreads: population standard deviation over cases, over runs, or over the means
        of resampled cases (`semiseg.scoring.bootstrap`).
    cases: test cases of a run. absent: pairs of case and organ where the truth has no such organ, in one run (all runs
        share the truth). missed: pairs where the truth has the organ and the prediction has none of it, in all runs
        together. false_positive: pairs where only the prediction has it, in all runs together.
    """

    rule: str
    organs: pd.DataFrame
    means: dict[str, float]
    spreads: dict[str, float]
    spread_over: Spread
    cases: int
    absent: int
    missed: int
    false_positive: int
    unit: Unit


def score(rule: str, runs: Sequence[pd.DataFrame], spread: Spread | None = None) -> Summary:
    """Score the runs (seeds) of one row of a table.

    runs: score tables as `read_cases` gives them, restricted to the organs that count, in the order wanted; the order
        of the cases decides which ones a bootstrap draws. spread: what spreads are over; default: what the rule says.
    A run is aggregated first; then means, per-organ means and spreads over cases are averaged over runs. A spread over
    runs is NaN for a single run. Raises UserError for an unknown rule, or a table without the rows a rule needs.
    """
    definition = get_rule(rule)
    over = spread or definition.spread_over
    names = [_name(frame, i, len(runs)) for i, frame in enumerate(runs, 1)]
    tables = [_rows(frame, definition.grid, name) for frame, name in zip(runs, names, strict=True)]
    if not tables:
        raise UserError(f"rule {rule}: no score tables were given, expected one per run: evaluate the runs first")
    _check_same_cases(tables, names)
    values = [definition.values(table) for table in tables]
    organs = [_by(run, "organ") for run in values]
    means = pd.DataFrame([_means(run, each, definition) for run, each in zip(values, organs, strict=True)])
    masks = [(table.truth_voxels.to_numpy() > 0, table.predicted_voxels.to_numpy() > 0) for table in tables]
    return Summary(
        rule=rule,
        organs=pd.concat(organs).groupby(level=0, sort=False).mean(),
        means=_plain(means.mean()),
        spreads=_plain(_over_runs(means) if over == "runs" else _over_cases(values, over)),
        spread_over=over,
        cases=tables[0].case.nunique(),
        absent=int((tables[0].truth_voxels == 0).sum()),
        missed=sum(int((present & ~predicted).sum()) for present, predicted in masks),
        false_positive=sum(int((~present & predicted).sum()) for present, predicted in masks),
        unit=definition.unit,
    )


def _name(frame: pd.DataFrame, number: int, of: int) -> str:
    return str(frame.attrs.get("file", f"run {number} of {of}"))


def _rows(frame: pd.DataFrame, grid: str, name: str) -> pd.DataFrame:
    """The rows of one grid, checked to hold each organ of each case once."""
    _require_columns(frame, name)
    rows = frame[frame.grid == grid]
    if rows.empty:
        found = ", ".join(sorted(set(frame.grid))) or "no rows"
        raise UserError(f"{name} has no rows of the {grid} grid (found: {found}): evaluate the run again")
    if rows.duplicated(["case", "organ"]).any() or len(rows) != rows.case.nunique() * rows.organ.nunique():
        raise UserError(f"{name} does not hold each organ of each case exactly once: evaluate the run again")
    rows.attrs.clear()  # pandas would copy them with every result
    whole = [name for name in LENGTHS if rows[name].dtype != float]  # typed by hand: they would refuse NaN
    return rows.astype(dict.fromkeys(whole, float))


def _check_same_cases(tables: list[pd.DataFrame], names: list[str]) -> None:
    first = set(zip(tables[0].case, tables[0].organ, tables[0].truth_voxels, strict=True))
    for table, name in zip(tables[1:], names[1:], strict=True):
        if set(zip(table.case, table.organ, table.truth_voxels, strict=True)) != first:
            raise UserError(
                f"{name} has other cases, organs or truth than {names[0]}: evaluate all runs of a row on one split"
            )


def _by(values: Values, key: str) -> pd.DataFrame:
    """Mean of each metric per organ or per case, in order of first appearance; NaN values are left out."""
    return values.groupby(key, sort=False)[list(METRICS)].mean()


def _means(values: Values, organs: pd.DataFrame, rule: Rule) -> pd.Series:
    means = organs.mean()
    if rule.jaccard_over == "cases":
        means["jaccard"] = _by(values, "case")["jaccard"].mean()
    return means


def _over_cases(values: list[Values], over: Spread) -> pd.Series:
    """Deviation of the cases of a run, each the mean of its organs, or of their bootstrap means; the mean over runs."""
    runs = [_by(run, "case") for run in values]
    return pd.DataFrame([_of_bootstrap(run) if over == "bootstrap" else run.std(ddof=0) for run in runs]).mean()


def _of_bootstrap(cases: pd.DataFrame) -> pd.Series:
    defined = cases.dropna(axis=1, how="all")  # numpy warns of a mean of nothing
    return pd.Series(resampled(defined.to_numpy(float)).std(0), defined.columns).reindex(cases.columns)


def _over_runs(means: pd.DataFrame) -> pd.Series:
    return means.std(ddof=0) if len(means) > 1 else means.mean() * float("nan")


def _plain(series: pd.Series) -> dict[str, float]:
    return {name: float(series[name]) for name in METRICS}
