"""Rule ``evaluate``: compares predictions with the truth, for each case and organ."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.base.files import atomic, read_json, sha256
from semiseg.base.parallel import each
from semiseg.data.images import read_nifti
from semiseg.data.store import read_geometry, read_label
from semiseg.dataset import Organ, get_dataset, manifest_cases
from semiseg.scoring.cases import COLUMNS
from semiseg.scoring.measurements import organ_scores

LabelMap = tuple[NDArray[Any], tuple[float, float, float]]
SPACING_TOLERANCE = 1e-3  # relative: NIfTI keeps spacing in single precision


@dataclass(frozen=True)
class Pair:
    """Truth and prediction of one case on one grid (``prepared`` or ``native``).

    truth, prediction: functions that return a label map and its spacing in mm per array axis. They must be picklable,
    because they are called in a worker process.
    """

    case: str
    grid: str
    truth: Callable[[], LabelMap]
    prediction: Callable[[], LabelMap]


def evaluate_run(predictions: Path, prepared: Path, raw: Path, out: Path, workers: int) -> None:
    """Measure the test cases of a run on both grids and write its score table.

    predictions, prepared, raw: manifests of the rules ``predict``, ``prepare`` and ``raw``, beside the files.
    Raises UserError for a case without truth, and for a prediction with another hash than in the manifest.
    """
    manifest, index, collection = read_json(predictions), read_json(prepared), read_json(raw)
    dataset = get_dataset(collection["dataset"])
    labels = {entry.id: entry.label for entry in manifest_cases(collection, str(raw))}
    pairs: list[Pair] = []
    for case in manifest["cases"]:
        if case not in index["cases"]:
            raise UserError(f"test case {case} is not among the prepared cases of {prepared}: prepare it first")
        label = labels.get(case)
        if label is None:
            raise UserError(f"test case {case} has no label in {raw}: only cases with published truth can be scored")
        stored = prepared.parent / index["cases"][case]["file"]
        scan = partial(_raw_truth, dataset.name, raw.parent / label)
        for grid, name, truth in (
            ("prepared", f"{case}.prepared.nii.gz", partial(_prepared_truth, stored)),
            ("native", f"{case}.nii.gz", scan),
        ):
            file = predictions.parent / "predictions" / name
            pairs.append(Pair(case, grid, truth, partial(_prediction, file, manifest["files"].get(name))))
    evaluate(pairs, dataset.organs, out, workers)


def evaluate(pairs: Iterable[Pair], organs: Sequence[Organ], out: Path, workers: int) -> None:
    """Write the score table of these pairs, in their order (columns: ``semiseg.scoring.cases``).

    workers: number of processes. Raises UserError naming the case for unequal grids, for ids that no organ has, and for
    a truth without any organ.
    """
    jobs = list(pairs)
    if not jobs:
        raise UserError(f"no test cases to measure for {out}: give the split at least one test case")
    measured = each(partial(_measure, organs=tuple(organs)), jobs, workers, "evaluate", unit="label map")
    table = pd.DataFrame([row for rows in measured for row in rows], columns=list(COLUMNS))
    with atomic(out) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _measure(pair: Pair, organs: Sequence[Organ]) -> list[dict[str, Any]]:
    """The rows of one pair. Errors name the case and the grid."""
    truth, spacing_mm = pair.truth()
    prediction, predicted_spacing = pair.prediction()
    where = f"case {pair.case} ({pair.grid} grid)"
    if truth.shape != prediction.shape or not np.allclose(
        spacing_mm, predicted_spacing, rtol=SPACING_TOLERANCE, atol=0
    ):
        raise UserError(
            f"{where}: truth is {_grid(truth, spacing_mm)} but prediction is {_grid(prediction, predicted_spacing)}: "
            "predict the case again from the same data"
        )
    ids = [organ.id for organ in organs]
    for name, array in (("truth", truth), ("prediction", prediction)):
        unknown = sorted(set(pd.unique(array.ravel(order="K")).tolist()) - {0, *ids})
        if unknown:
            raise UserError(f"{where}: {name} holds the ids {unknown}, expected 0 and {ids}: correct the label map")
    if not truth.any():
        raise UserError(f"{where}: the truth holds no organ at all, so nothing can be scored: correct its label file")
    try:
        scores = organ_scores(truth, prediction, ids, spacing_mm)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return list(_rows(pair, organs, [score.columns() for score in scores]))


def _rows(pair: Pair, organs: Sequence[Organ], scores: Sequence[Mapping[str, float]]) -> Iterator[dict[str, Any]]:
    for organ, columns in zip(organs, scores, strict=True):
        yield {"case": pair.case, "grid": pair.grid, "organ": organ.abbreviation, **columns}


def _grid(array: NDArray[Any], spacing_mm: Sequence[float]) -> str:
    shape, spacing = (" x ".join(f"{value:g}" for value in values) for values in (array.shape, spacing_mm))
    return f"{shape} voxels of {spacing} mm"


def _prepared_truth(file: Path) -> LabelMap:
    return read_label(file), read_geometry(file).spacing_mm


def _raw_truth(dataset: str, file: Path) -> LabelMap:
    volume = get_dataset(dataset).read_label(file)
    return volume.array, volume.spacing_mm


def _prediction(file: Path, expected: str | None) -> LabelMap:
    volume = read_nifti(file)
    if sha256(file) != expected:
        raise UserError(f"{file} is not the file that its manifest names: delete the manifest and predict again")
    return volume.array, volume.spacing_mm
