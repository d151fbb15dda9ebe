"""Named scoring rules: the same measurements (``cases.csv``), read as each group of papers reads them.

A score table has one row per case, grid and organ, and these columns:

case, grid, organ, label: ``grid`` is ``prepared`` (the grid the network works on) or ``native`` (the raw image's grid);
    organ is the abbreviation that tables use, label its id.
truth_voxels, predicted_voxels, overlap_voxels: sizes of both masks and of their intersection.
truth_surface, predicted_surface: surface voxels of each mask.
to_truth_{mean,p95,max}_{voxel,mm}: distances from the prediction's surface to the truth's.
to_prediction_{mean,p95,max}_{voxel,mm}: the other direction.
pooled_p95_{voxel,mm}: 95th percentile of both directions together.
diagonal_mm: of the whole image.

Distances are empty (NaN) where a mask is empty. Definitions: `semiseg.metrics`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from semiseg.errors import UserError

KEYS = ("case", "grid", "organ")
COUNTS = (
    "label",
    "truth_voxels",
    "predicted_voxels",
    "overlap_voxels",
    "truth_surface",
    "predicted_surface",
)
SUMMARIES = (
    "to_truth_mean",
    "to_truth_p95",
    "to_truth_max",
    "to_prediction_mean",
    "to_prediction_p95",
    "to_prediction_max",
    "pooled_p95",
)
LENGTHS = tuple(f"{name}_{unit}" for unit in ("voxel", "mm") for name in SUMMARIES) + ("diagonal_mm",)
COLUMNS = (*KEYS, *COUNTS, *LENGTHS)
METRICS = ("dice", "jaccard", "asd", "hd95")

Unit = Literal["voxel", "mm"]
Spread = Literal["cases", "runs"]


@dataclass(frozen=True)
class Summary:
    """Runs of one row of a table, scored by one rule.

    organs: index organ abbreviation in the order of the score table, columns dice and jaccard (percent), asd and hd95 (in
        ``unit``), averaged over runs; NaN where the rule does not define a metric or no case has the organ.
    means: overall mean of each metric. spreads: population standard deviation over cases or over runs.
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


Values = pd.DataFrame  # case, organ and the four metrics: one row per case and organ, NaN = does not count


@dataclass(frozen=True)
class Rule:
    """A way to read score tables. ``values``: rows of one grid -> the four metrics of each row.

    ``jaccard_over``: organs (mean over organs of the mean over cases, as all other metrics) or cases (the reverse).
    """

    grid: Literal["prepared", "native"]
    unit: Unit
    spread_over: Spread
    values: Callable[[pd.DataFrame], Values]
    jaccard_over: Literal["organs", "cases"] = "organs"


def score(rule: str, runs: Sequence[pd.DataFrame]) -> Summary:
    """Score the runs (seeds) of one row of a table.

    runs: score tables as `read_cases` gives them, restricted to the organs that count, in the order wanted.
    A run is aggregated first; then means, per-organ means and spreads over cases are averaged over runs. A spread over
    runs is NaN for a single run. Raises UserError for an unknown rule, or a table without the rows a rule needs.
    """
    definition = get_rule(rule)
    tables = [_rows(frame, definition.grid, _name(frame, i, len(runs))) for i, frame in enumerate(runs, 1)]
    if not tables:
        raise UserError(f"rule {rule}: no score tables were given, expected one per run: evaluate the runs first")
    _check_same_cases(tables, [_name(frame, i, len(runs)) for i, frame in enumerate(runs, 1)])
    values = [definition.values(table) for table in tables]
    organs = [_by(run, "organ") for run in values]
    means = pd.DataFrame([_means(run, definition) for run in values])
    if definition.spread_over == "cases":
        spreads = pd.DataFrame([_by(run, "case").std(ddof=0) for run in values]).mean()
    else:
        spreads = means.std(ddof=0) if len(runs) > 1 else means.mean() * float("nan")
    states = pd.concat(tables)
    present, predicted = states.truth_voxels > 0, states.predicted_voxels > 0
    return Summary(
        rule=rule,
        organs=sum(organs[1:], organs[0]) / len(organs),
        means=_plain(means.mean()),
        spreads=_plain(spreads),
        spread_over=definition.spread_over,
        cases=tables[0].case.nunique(),
        absent=int((tables[0].truth_voxels == 0).sum()),
        missed=int((present & ~predicted).sum()),
        false_positive=int((~present & predicted).sum()),
        unit=definition.unit,
    )


def get_rule(name: str) -> Rule:
    """A rule by name; UserError lists the known ones."""
    if name not in RULES:
        raise UserError(f"unknown scoring rule {name!r}; known: {', '.join(RULES)}")
    return RULES[name]


def read_cases(path: Path) -> pd.DataFrame:
    """Read a score table; UserError when it is missing, damaged or lacks columns. Errors of `score` name this file."""
    try:
        frame = pd.read_csv(
            path,
            dtype=dict.fromkeys(KEYS, str) | dict.fromkeys(COUNTS, int) | dict.fromkeys(LENGTHS, float),
            keep_default_na=False,  # a case or an organ may be called NA
            na_values=dict.fromkeys(LENGTHS, [""]),
            float_precision="round_trip",
        )
    except FileNotFoundError:
        raise UserError(f"{path} is missing: build it with `snakemake {path}`") from None
    except ValueError as error:  # pandas' parser errors and wrong types
        raise UserError(f"{path} is not a score table ({error}): delete it and evaluate the run again") from None
    frame.attrs["file"] = str(path)
    _require_columns(frame, str(path))
    return frame


def _name(frame: pd.DataFrame, number: int, of: int) -> str:
    return str(frame.attrs.get("file", f"run {number} of {of}"))


def _require_columns(frame: pd.DataFrame, name: str) -> None:
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise UserError(f"{name} lacks the columns {', '.join(missing)}: delete it and evaluate the run again")


def _rows(frame: pd.DataFrame, grid: str, name: str) -> pd.DataFrame:
    """The rows of one grid, checked to hold each organ of each case once."""
    _require_columns(frame, name)
    rows = frame[frame.grid == grid]
    if rows.empty:
        found = ", ".join(sorted(set(frame.grid))) or "no rows"
        raise UserError(f"{name} has no rows of the {grid} grid (found: {found}): evaluate the run again")
    if rows.duplicated(["case", "organ"]).any() or len(rows) != rows.case.nunique() * rows.organ.nunique():
        raise UserError(f"{name} does not hold each organ of each case exactly once: evaluate the run again")
    return rows


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


def _means(values: Values, rule: Rule) -> pd.Series:
    means = _by(values, "organ").mean()
    if rule.jaccard_over == "cases":
        means["jaccard"] = _by(values, "case")["jaccard"].mean()
    return means


def _plain(series: pd.Series) -> dict[str, float]:
    return {name: float(series[name]) for name in METRICS}


# --- the rules ------------------------------------------------------------------------------------------------------


def _values(
    rows: pd.DataFrame, asd: pd.Series | float, hd95: pd.Series | float, jaccard: pd.Series | float | None = None
) -> Values:
    """The four metrics; Dice and Jaccard of two empty masks are NaN here."""
    both = rows.truth_voxels + rows.predicted_voxels
    overlap = rows.overlap_voxels
    computed = 100 * overlap / (both - overlap)
    return rows[["case", "organ"]].assign(
        dice=200 * overlap / both, jaccard=computed if jaccard is None else jaccard, asd=asd, hd95=hd95
    )


def _la(rows: pd.DataFrame) -> Values:
    """UA-MT and its line: MedPy without spacing, an empty mask counts as four zeros (yulequan/UA-MT: test_util.py)."""
    values = _values(rows, rows.to_truth_mean_voxel, rows.pooled_p95_voxel)
    defined = (rows.truth_voxels > 0) & (rows.predicted_voxels > 0)
    values.loc[~defined, list(METRICS)] = 0.0
    return values


def _guidednet(rows: pd.DataFrame) -> Values:
    """GuidedNet: Dice over the cases that contain the organ, Jaccard where either mask has it; no distances.

    Official code: utils/four_metrics.py, whose factors (14/10, 60/54, ...) turn means over all cases into this.
    """
    values = _values(rows, float("nan"), float("nan"))
    values["dice"] = values["dice"].where(rows.truth_voxels > 0)
    return values


def _dhc(rows: pd.DataFrame) -> Values:
    """DHC and SKCDF: 128 voxels for an organ in one mask only, Dice 1 of 100 when in neither; no Jaccard, no HD95.

    Official code: xmed-lab/DHC: code/evaluate_Ntimes.py.
    """
    values = _values(rows, rows.to_truth_mean_voxel, float("nan"), float("nan"))
    present, predicted = rows.truth_voxels > 0, rows.predicted_voxels > 0
    values.loc[present ^ predicted, ["dice", "asd"]] = 0.0, 128.0
    values.loc[~present & ~predicted, ["dice", "asd"]] = 1.0, 0.0
    return values


def _sound(rows: pd.DataFrame) -> Values:
    """Absent organs are left out; a missed one has Dice 0 and the worst distance; symmetric distances in mm."""
    surfaces = rows.truth_surface + rows.predicted_surface
    total = rows.to_truth_mean_mm * rows.predicted_surface + rows.to_prediction_mean_mm * rows.truth_surface
    values = _values(rows, total / surfaces, rows[["to_truth_p95_mm", "to_prediction_p95_mm"]].max(axis=1))
    present = rows.truth_voxels > 0
    missed = present & (rows.predicted_voxels == 0)
    values.loc[missed, "asd"] = values.loc[missed, "hd95"] = rows.diagonal_mm[missed]
    values.loc[~present, list(METRICS)] = float("nan")
    return values


RULES: Mapping[str, Rule] = {
    "la": Rule("prepared", "voxel", "cases", _la),
    "guidednet": Rule("prepared", "voxel", "runs", _guidednet, jaccard_over="cases"),
    "dhc": Rule("prepared", "voxel", "runs", _dhc),
    "sound": Rule("native", "mm", "cases", _sound),
}
