"""Rule ``evaluate``: compares predictions with the truth, for each case and organ."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.base.errors import UserError
from semiseg.base.files import atomic, read_json, sha256
from semiseg.base.parallel import each
from semiseg.base.volume import Volume
from semiseg.data.geometry import SAME_MM, edges_of, farthest_mm
from semiseg.data.images import read_nifti
from semiseg.data.raw_volumes import on_grid, read_raw_label, require_listed
from semiseg.data.store import read_geometry, read_label
from semiseg.dataset import Organ, RawCase, get_dataset, manifest_cases
from semiseg.scoring.cases import COLUMNS
from semiseg.scoring.measurements import organ_scores


@dataclass(frozen=True)
class Pair:
    """Truth and prediction of one case on one grid (``prepared`` or ``native``).

    truth, prediction: functions that return a label map. They must be picklable, because they are called in a worker
    process.
    """

    case: str
    grid: str
    truth: Callable[[], Volume]
    prediction: Callable[[], Volume]


def evaluate_run(predictions: Path, prepared: Path, raw: Path, out: Path, workers: int) -> None:
    """Measure the test cases of a run on both grids and write its score table.

    predictions, prepared, raw: manifests of the rules ``predict``, ``prepare`` and ``raw``, beside the files.
    The truth of the native grid is the raw label map as preparation reads it. Raises UserError for a case without
    truth, and for a label map or a prediction with another hash than in its manifest.
    """
    manifest, index, collection = read_json(predictions), read_json(prepared), read_json(raw)
    dataset = get_dataset(collection["dataset"])
    cases = {entry.id: entry for entry in manifest_cases(collection, str(raw))}
    pairs: list[Pair] = []
    for case in manifest["cases"]:
        if case not in index["cases"]:
            raise UserError(f"test case {case} is not among the prepared cases of {prepared}: prepare it first")
        entry = cases.get(case)
        if entry is None or entry.label is None:
            raise UserError(f"test case {case} has no label in {raw}: only cases with published truth can be scored")
        stored = prepared.parent / index["cases"][case]["file"]
        listed = collection["files"][entry.label]["sha256"]
        scan = partial(_raw_truth, dataset.name, entry, raw.parent, listed, stored)
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
    truth, prediction = pair.truth(), pair.prediction()
    where = f"case {pair.case} ({pair.grid} grid)"
    if (
        truth.array.shape != prediction.array.shape
        or farthest_mm(truth.array.shape, truth.affine, prediction.affine) > SAME_MM
    ):
        raise UserError(
            f"{where}: truth is {_grid(truth)} but prediction is {_grid(prediction)}, expected one grid: predict the "
            "case again from the same data"
        )
    ids = [organ.id for organ in organs]
    for name, volume in (("truth", truth), ("prediction", prediction)):
        unknown = sorted(set(pd.unique(volume.array.ravel(order="K")).tolist()) - {0, *ids})
        if unknown:
            raise UserError(f"{where}: {name} holds the ids {unknown}, expected 0 and {ids}: correct the label map")
    if not truth.array.any():
        raise UserError(f"{where}: the truth holds no organ at all, so nothing can be scored: correct its label file")
    try:
        scores = organ_scores(truth.array, prediction.array, ids, edges_of(truth.affine))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return list(_rows(pair, organs, [score.columns() for score in scores]))


def _rows(pair: Pair, organs: Sequence[Organ], scores: Sequence[Mapping[str, float]]) -> Iterator[dict[str, Any]]:
    for organ, columns in zip(organs, scores, strict=True):
        yield {"case": pair.case, "grid": pair.grid, "organ": organ.abbreviation, **columns}


def _grid(volume: Volume) -> str:
    shape, spacing, origin = (
        " x ".join(f"{value:.7g}" for value in values)
        for values in (volume.array.shape, volume.spacing_mm, volume.affine[:3, 3])
    )
    return f"{shape} voxels of {spacing} mm from {origin}"


def _prepared_truth(file: Path) -> Volume:
    return Volume(read_label(file), read_geometry(file).affine)


def _raw_truth(dataset: str, case: RawCase, raw: Path, listed: str, prepared: Path) -> Volume:
    """The raw label map on the grid of its image, which the prepared case has noted."""
    geometry = read_geometry(prepared)
    label = on_grid(case, read_raw_label(get_dataset(dataset), case, raw), geometry.raw_shape, geometry.raw_affine)
    require_listed(case, raw, {str(case.label): listed})
    return label


def _prediction(file: Path, expected: str | None) -> Volume:
    volume = read_nifti(file)
    if sha256(file) != expected:
        raise UserError(f"{file} is not the file that its manifest names: delete the manifest and predict again")
    return volume
