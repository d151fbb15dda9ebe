"""The score table of a run (``cases.csv``): its columns, and its reader.

A score table has one row per case, grid and organ, and these columns:

case, grid, organ, label: ``grid`` is ``prepared`` (the grid the network works on) or ``native`` (the raw image's grid);
    organ is the abbreviation that tables use, label its id.
truth_voxels, predicted_voxels, overlap_voxels: sizes of both masks and of their intersection.
truth_surface, predicted_surface: surface voxels of each mask.
to_truth_{mean,p95,max}_{voxel,mm}: distances from the prediction's surface to the truth's.
to_prediction_{mean,p95,max}_{voxel,mm}: the other direction.
pooled_p95_{voxel,mm}: 95th percentile of both directions together.
diagonal_mm: of the whole image.

Distances are empty (NaN) where a mask is empty. Definitions: `semiseg.scoring.measurements`.
"""

from pathlib import Path

import pandas as pd

from semiseg.base.errors import UserError

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
LENGTHS = (*(f"{name}_{unit}" for unit in ("voxel", "mm") for name in SUMMARIES), "diagonal_mm")
COLUMNS = (*KEYS, *COUNTS, *LENGTHS)


def read_cases(path: Path) -> pd.DataFrame:
    """Read a score table; UserError when it is missing, damaged or lacks columns. Errors of `score` name this file."""
    try:
        frame = pd.read_csv(
            path,
            dtype=dict.fromkeys(KEYS, str) | dict.fromkeys(COUNTS, int) | dict.fromkeys(LENGTHS, float),
            keep_default_na=False,  # a case or an organ may be called NA
            na_values={column: [""] for column in LENGTHS},
        )
    except FileNotFoundError:
        raise UserError(f"{path} is missing: build it with `snakemake {path}`") from None
    except ValueError as error:  # pandas' parser errors and wrong types
        raise UserError(f"{path} is not a score table ({error}): delete it and evaluate the run again") from None
    frame.attrs["file"] = str(path)
    require_columns(frame, str(path))
    return frame


def require_columns(frame: pd.DataFrame, name: str) -> None:
    """Raise UserError where a score table lacks columns. name: of its file or run."""
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise UserError(f"{name} lacks the columns {', '.join(missing)}: delete it and evaluate the run again")
