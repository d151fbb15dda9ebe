"""Named scoring rules: how each group of papers turns the same measurements into numbers.

A rule computes the four metrics of each row of a score table (columns: see `semiseg.scoring.cases`), NaN where the row
does not count, and defines how they are averaged. Dice and Jaccard are percentages.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS

Unit = Literal["voxel", "mm"]
Spread = Literal["cases", "runs", "bootstrap"]
Column = NDArray[Any]  # one number per case and organ
Columns = Mapping[str, Column]  # columns of a score table by name, without case, grid and organ
Values = NDArray[np.float64]  # [row metric], the metrics in the order of METRICS; NaN = does not count

DICE, JACCARD, ASD, HD95 = range(len(METRICS))


@dataclass(frozen=True)
class Rule:
    """A way to read score tables. ``values``: rows of one grid -> the four metrics of each row.

    ``spread_over``: what the plus-minus is a deviation of, unless a table chooses another one.
    ``jaccard_over``: organs (mean over organs of the mean over cases, as all other metrics) or cases (the reverse).
    """

    grid: Literal["prepared", "native"]
    unit: Unit
    spread_over: Spread
    values: Callable[[Columns], Values]
    jaccard_over: Literal["organs", "cases"] = "organs"


@np.errstate(divide="ignore", invalid="ignore")
def _values(rows: Columns, asd: Column | float, hd95: Column | float) -> Values:
    """The four metrics; Dice and Jaccard of two empty masks are NaN here."""
    overlap, both = rows["overlap_voxels"], rows["truth_voxels"] + rows["predicted_voxels"]
    values = np.empty((len(overlap), len(METRICS)))
    values[:, DICE] = 200 * overlap / both
    values[:, JACCARD] = 100 * overlap / (both - overlap)
    values[:, ASD], values[:, HD95] = asd, hd95
    return values


def _la(rows: Columns) -> Values:
    """UA-MT and its line: MedPy without spacing, an empty mask counts as four zeros (yulequan/UA-MT: test_util.py)."""
    values = _values(rows, rows["to_truth_mean_voxel"], rows["pooled_p95_voxel"])
    values[(rows["truth_voxels"] == 0) | (rows["predicted_voxels"] == 0)] = 0
    return values


def _guidednet(rows: Columns) -> Values:
    """GuidedNet: Dice over the cases that contain the organ, Jaccard where either mask has it; no distances.

    Official code: utils/four_metrics.py, whose factors (14/10, 60/54, ...) turn means over all cases into this.
    """
    values = _values(rows, np.nan, np.nan)
    values[rows["truth_voxels"] == 0, DICE] = np.nan
    return values


def _dhc(rows: Columns) -> Values:
    """DHC and SKCDF: 128 voxels for an organ in one mask only, Dice 1 of 100 when in neither; no Jaccard, no HD95.

    Official code: xmed-lab/DHC: code/evaluate_Ntimes.py.
    """
    values = _values(rows, rows["to_truth_mean_voxel"], np.nan)
    values[:, JACCARD] = np.nan
    present, predicted = rows["truth_voxels"] > 0, rows["predicted_voxels"] > 0
    for place, single, neither in ((DICE, 0.0, 1.0), (ASD, 128.0, 0.0)):
        values[present ^ predicted, place] = single
        values[~present & ~predicted, place] = neither
    return values


@np.errstate(divide="ignore", invalid="ignore")
def _sound(rows: Columns) -> Values:
    """Absent organs are left out; a missed one has Dice 0 and the worst distance; symmetric distances in mm."""
    truth, predicted = rows["truth_surface"], rows["predicted_surface"]
    total = rows["to_truth_mean_mm"] * predicted + rows["to_prediction_mean_mm"] * truth
    hd95 = np.fmax(rows["to_truth_p95_mm"], rows["to_prediction_p95_mm"])
    values = _values(rows, total / (truth + predicted), hd95)
    present = rows["truth_voxels"] > 0
    missed = present & (rows["predicted_voxels"] == 0)
    values[missed, ASD] = values[missed, HD95] = rows["diagonal_mm"][missed]
    values[~present] = np.nan
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
