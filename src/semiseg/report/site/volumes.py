"""Scans of test cases with truth and predictions, as scripts that a page loads when a reader asks for a case.

A page that was opened from a file may not read other files, except as scripts. So a volume is a script that hands over
text: base64 of gzip of one byte per voxel, x fastest.
"""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.base.controls import is_control
from semiseg.base.files import atomic, read_json, write_text
from semiseg.data.images import read_nifti
from semiseg.data.store import read_geometry, read_image, read_label
from semiseg.jobs.manifest import listed_files, unfit_files
from semiseg.params.table_spec import TableSpec
from semiseg.report.pictures import WINDOW, Scan, best_slices, draw_slices, radiological, surroundings

MOST_BYTES = 4 * 2**20  # of all scripts of a case together
MOST_VOXELS = 8 * 2**20  # of one volume; a coarser grid is tried at once above it
Array = NDArray[Any]


@dataclass(frozen=True)
class CaseJob:
    """The volumes of one test case. stored: its prepared file. predictions: row -> file of its first run's label map.

    folder: of the scripts. pictures: rows of which this is the worst case -> file of the picture.
    """

    case: str
    stored: Path
    predictions: Mapping[str, Path]
    organs: Mapping[int, str]
    folder: Path
    pictures: Mapping[str, Path]


@dataclass(frozen=True)
class Volumes:
    """What of a test case is in the site. files: scripts and pictures. predictions: rows whose prediction is there.

    unfit: rows whose prediction has another shape than the prepared scan, so that it is not there.
    """

    files: tuple[Path, ...]
    predictions: tuple[str, ...]
    unfit: tuple[str, ...]


def case_jobs(spec: TableSpec, worst: Mapping[str, str], site: Path) -> list[CaseJob]:
    """The test cases whose scans are on this machine as they were prepared. worst: row -> its worst case.

    Scripts lie in ``volumes/TABLE/CASE`` of the site's folder, pictures in ``pictures/TABLE``.
    """
    index, split = Path(spec.prepared), Path(spec.split)
    if not index.exists() or not split.exists():
        return []
    entries, damaged = read_json(index)["cases"], set(unfit_files(index))
    files = {case: index.parent / entries[case]["file"] for case in read_json(split)["test"] if case in entries}
    maps = {method: _label_maps(folders[0]) for method, folders in spec.runs.items() if not is_control(method)}
    pictures = site / "pictures" / spec.table
    return [
        CaseJob(
            case=case,
            stored=stored,
            predictions={method: found[case] for method, found in maps.items() if case in found},
            organs={organ.id: organ.abbreviation for organ in spec.organs},
            folder=site / "volumes" / spec.table / case,
            pictures={method: pictures / f"{method}.png" for method, one in worst.items() if one == case},
        )
        for case, stored in files.items()
        if stored not in damaged
    ]


def _label_maps(folder: str) -> dict[str, Path]:
    """The label maps of a run on the prepared grid that are here as they were predicted, by case."""
    manifest = Path(folder) / "predictions.json"
    if not manifest.exists():
        return {}
    end, damaged = ".prepared.nii.gz", set(unfit_files(manifest))
    listed = (path for path in listed_files(manifest) if path.name.endswith(end) and path not in damaged)
    return {path.name.removesuffix(end): path for path in listed}


def write_case(job: CaseJob) -> Volumes:
    """Write the scripts and the pictures of a case. Returns what was written."""
    affine = read_geometry(job.stored).affine
    image, truth = radiological(read_image(job.stored), affine), radiological(read_label(job.stored), affine)
    maps = dict(_read(job.predictions))
    unfit = tuple(method for method, scan in maps.items() if scan.array.shape != truth.array.shape)
    predictions = {method: scan for method, scan in maps.items() if method not in unfit}
    marked = [truth, *predictions.values()]
    if any(bool((scan.array > 0).any()) for scan in marked):
        box = surroundings(marked)
        image, truth = image.inside(box), truth.inside(box)
        predictions = {method: scan.inside(box) for method, scan in predictions.items()}
    written = []
    for name, content in scripts(job.case, image, truth, predictions).items():
        written.append(job.folder / f"{name}.js")
        write_text(written[-1], content)
    for method, path in job.pictures.items():
        if method in predictions:
            places = best_slices(truth, list(job.organs))
            with atomic(path) as temporary:
                temporary.write_bytes(draw_slices(image, truth, predictions[method], job.organs, places))
            written.append(path)
    return Volumes(tuple(written), tuple(predictions), unfit)


def _read(files: Mapping[str, Path]) -> Iterator[tuple[str, Scan]]:
    for method, path in files.items():
        volume = read_nifti(path)
        yield method, radiological(volume.array.astype(np.uint8), volume.affine)


def scripts(case: str, image: Scan, truth: Scan, predictions: Mapping[str, Scan]) -> dict[str, str]:
    """Per name of a script its text: ``scan`` holds scan and truth, ``prediction.ROW`` what a row predicted.

    The scan is cut to the percentiles between which pictures show it. Every second, third, ... voxel is kept where all
    scripts together would have more than ``MOST_BYTES``.
    """
    grey = _as_bytes(image.array)
    step = 1
    while True:
        if grey[::step, ::step, ::step].size <= MOST_VOXELS:
            kept = [scan.array[::step, ::step, ::step] for scan in (truth, *predictions.values())]
            texts = _texts(case, grey[::step, ::step, ::step], kept, [side * step for side in image.spacing], step)
            if sum(map(len, texts)) <= MOST_BYTES:
                return dict(zip(("scan", *(f"prediction.{method}" for method in predictions)), texts, strict=True))
        step += 1


def _as_bytes(array: Array) -> NDArray[np.uint8]:
    low, high = np.percentile(array, WINDOW)
    return np.asarray(np.clip((array - low) / ((high - low) or 1) * 255, 0, 255).round(), np.uint8)


def _texts(case: str, grey: Array, labels: Sequence[Array], spacing: Sequence[float], step: int) -> list[str]:
    shape = {"size": list(grey.shape), "spacing": [round(side, 4) for side in spacing], "step": step}
    first = {"case": case, **shape, "scan": _packed(grey), "truth": _packed(labels[0])}
    others = [{"case": case, "labels": _packed(array)} for array in labels[1:]]
    return [f"semisegVolume({json.dumps(content)});\n" for content in (first, *others)]


def _packed(array: Array) -> str:
    """One byte per voxel, x fastest, gzip without a time, base64."""
    return base64.b64encode(gzip.compress(np.asarray(array, np.uint8).tobytes("F"), 6, mtime=0)).decode()
