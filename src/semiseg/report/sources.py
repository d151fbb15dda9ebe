"""Data that a page reads from finished runs: histories, Dice per case, and the case of its pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.data.images import read_nifti
from semiseg.data.store import read_geometry, read_image, read_label
from semiseg.jobs.manifest import fits
from semiseg.params.table_spec import TableSpec
from semiseg.report.pictures import Scan, radiological
from semiseg.scoring.cases import read_cases

GRID = "native"


@dataclass(frozen=True)
class Shown:
    """The case of the pictures: mean Dice (percent) per method, image, truth, predictions by method."""

    case: str
    dice: Mapping[str, float]
    image: Scan
    truth: Scan
    predictions: Mapping[str, Scan]


def split_files(spec: TableSpec) -> list[Path]:
    """The files of the splits of a table that are here: its own, then those that single rows are trained on.

    The folder of a row's runs names its split.
    """
    names = [Path(folders[0]).parents[1].name for folders in spec.runs.values()]
    own = Path(spec.split)
    return [path for path in dict.fromkeys([own, *(own.with_name(f"{name}.json") for name in names)]) if path.exists()]


def read_histories(spec: TableSpec) -> dict[str, list[pd.DataFrame]]:
    """Per method the history of each run that has steps; methods without any (controls) are left out."""
    found: dict[str, list[pd.DataFrame]] = {}
    for method in spec.runs:
        paths = [Path(folder) / "history.csv" for folder in spec.trainings(method)]
        frames = [pd.read_csv(path) for path in paths if path.exists()]
        frames = [frame for frame in frames if len(frame)]
        if frames:
            found[method] = frames
    return found


def read_dice(spec: TableSpec) -> pd.DataFrame:
    """Columns method, case, organ, dice (percent, raw grid, mean over runs).

    The table's organs alone. Organs that a case does not contain have no row; a missed organ has a Dice of 0.
    """
    frames = []
    for method, folders in spec.runs.items():
        for path in (Path(folder) / "cases.csv" for folder in folders):
            if path.exists():
                frames.append(read_cases(path).assign(method=method))
    columns = ["method", "case", "organ", "dice"]
    if not frames:
        return pd.DataFrame(columns=columns)
    scores = pd.concat(frames, ignore_index=True)
    scores = scores[(scores["grid"] == GRID) & (scores["truth_voxels"] > 0) & scores["organ"].isin(spec.abbreviations)]
    both = scores["truth_voxels"] + scores["predicted_voxels"]
    scores = scores.assign(dice=200 * scores["overlap_voxels"] / both)
    return scores.groupby(["method", "case", "organ"], sort=True)["dice"].mean().reset_index()[columns]


def read_vanished(spec: TableSpec) -> pd.DataFrame:
    """Columns case, organ: organs of the table that a test case has on the raw grid and lost in the preparation.

    Every run has the same truth, so the first score table that is on this machine counts; without any there is no row.
    """
    paths = (Path(folder) / "cases.csv" for folders in spec.runs.values() for folder in folders)
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return pd.DataFrame(columns=["case", "organ"])
    scores = read_cases(path)
    voxels = scores.pivot(index=["case", "organ"], columns="grid", values="truth_voxels")
    lost = voxels[(voxels[GRID] > 0) & (voxels["prepared"] == 0)].index.to_frame(index=False)
    return lost[lost["organ"].isin(spec.abbreviations)].reset_index(drop=True)


def find_median_case(dice: pd.DataFrame) -> str | None:
    """The case whose Dice, averaged over its organs and then over methods, is the median (the lower of two).

    Controls do not count; None without scores.
    """
    trained = dice[~dice["method"].map(is_control)]
    if trained.empty:
        return None
    per_method = trained.groupby(["case", "method"])["dice"].mean()
    per_case = per_method.groupby("case").mean().reset_index().sort_values(["dice", "case"])
    return str(per_case["case"].iloc[(len(per_case) - 1) // 2])


def read_shown_case(spec: TableSpec, dice: pd.DataFrame) -> Shown | None:
    """Read the median case and what the first run of each method predicted for it; None where nothing can be shown.

    A volume that is not the one that its manifest lists counts as absent, as after the way back from an experiment.
    Raises UserError for a damaged prediction, or one on another grid than the prepared case.
    """
    case, index_path = find_median_case(dice), Path(spec.prepared)
    if case is None or not index_path.exists():
        return None
    entry = read_json(index_path)["cases"].get(case)
    if entry is None:
        return None
    stored = index_path.parent / entry["file"]
    if not fits(index_path, stored):
        return None
    affine = read_geometry(stored).affine
    per_method = dice[dice["case"] == case].groupby("method")["dice"].mean()
    image, truth = radiological(read_image(stored), affine), radiological(read_label(stored), affine)
    predictions = _predictions(spec.runs, case, truth)
    return Shown(case, {str(method): float(mean) for method, mean in per_method.items()}, image, truth, predictions)


def _predictions(runs: Mapping[str, Sequence[str]], case: str, truth: Scan) -> dict[str, Scan]:
    found = {}
    for method, folders in runs.items():
        path = Path(folders[0]) / "predictions" / f"{case}.prepared.nii.gz"
        if not is_control(method) and fits(path.parent.with_suffix(".json"), path):
            volume = read_nifti(path)
            found[method] = radiological(volume.array, volume.affine)
            if found[method].array.shape != truth.array.shape:
                raise UserError(f"{path} does not lie on the grid of the prepared case: predict this run again")
    return found
