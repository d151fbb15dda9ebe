"""Named scoring rules: how each group of papers turns the same measurements into numbers.

A rule computes the four metrics of each row of a score table (columns: see `semiseg.scoring.cases`), NaN where the row
does not count, and defines how they are averaged. Dice and Jaccard are percentages.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS

Unit = Literal["voxel", "mm"]
Spread = Literal["cases", "runs", "bootstrap"]
Values = pd.DataFrame  # case, organ and the four metrics: one row per case and organ, NaN = does not count


@dataclass(frozen=True)
class Rule:
    """A way to read score tables. ``values``: rows of one grid -> the four metrics of each row.

    ``spread_over``: what the plus-minus is a deviation of, unless a table chooses another one.
    ``jaccard_over``: organs (mean over organs of the mean over cases, as all other metrics) or cases (the reverse).
    """

    grid: Literal["prepared", "native"]
    unit: Unit
    spread_over: Spread
    values: Callable[[pd.DataFrame], Values]
    jaccard_over: Literal["organs", "cases"] = "organs"


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


def get_rule(name: str) -> Rule:
    """A rule by name; UserError lists the known ones."""
    if name not in RULES:
        raise UserError(f"unknown scoring rule {name!r}; known: {', '.join(RULES)}")
    return RULES[name]
