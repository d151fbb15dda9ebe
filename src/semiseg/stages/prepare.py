"""Rule ``prepare``: brings raw cases onto the protocol's grid. One file per case, and an index of all."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.base.errors import UserError, own_input
from semiseg.base.files import digest, read_json, sha256, write_json
from semiseg.base.parallel import each
from semiseg.base.texts import counted, some
from semiseg.data.checks import intensity_caveat, organ_caveat, spacing_caveat
from semiseg.data.geometry import Geometry, spacing_of
from semiseg.data.images import LONGEST_MM, LONGEST_SIDE, SHORTEST_MM
from semiseg.data.preparation import Scan, run_steps
from semiseg.data.raw_case import read_case
from semiseg.data.raw_volumes import require_listed, voxels_of
from semiseg.data.store import (
    read_geometry,
    read_made_from,
    read_statistics,
    read_voxels,
    write_case,
)
from semiseg.dataset import Dataset, Organ, RawCase, get_dataset, manifest_cases
from semiseg.jobs.code_hash import code_hash
from semiseg.params.preparation import Preparation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseToPrepare:
    """Everything that a worker process needs to prepare one case."""

    dataset: str
    case: RawCase
    raw: Path
    hashes: Mapping[str, str]
    applied: frozenset[str]
    preparation: Preparation
    file: Path
    made_from: str


def prepare(spec: Mapping[str, Any], manifest: Path, out: Path, workers: int = 1) -> None:
    """Prepare every case of the raw ``manifest`` into the folder of the index ``out``, which is written last.

    spec: dataset, name and steps of the preparation (``Specs.prepare``). Finished cases with the same raw files,
    steps and code are kept. Raises UserError naming the cases that cannot be used, up to ten; finished cases stay.
    """
    listed, kind = read_json(manifest), get_dataset(spec["dataset"])
    preparation = Preparation.model_validate(spec["preparation"])
    code = code_hash(
        "semiseg.data.preparation", "semiseg.data.store", "semiseg.stages.prepare", f"semiseg.datasets.{kind.name}"
    )
    cases = manifest_cases(listed, str(manifest))
    jobs = [_job(case, listed, preparation, code, manifest.parent, out.parent) for case in cases]
    if not jobs:
        raise UserError(f"{manifest} lists no cases: build the raw data again")
    entries = each(prepare_one, jobs, workers, f"prepare {kind.name} {spec['name']}")
    index = {
        "dataset": kind.name,
        "preparation": spec["name"],
        "axes": preparation.axes,
        "classes": len(kind.organs) + 1,
        "skipped": sorted(set(listed["applied"]) & {step.step for step in preparation.steps}),
        "cases": {job.case.id: entry for job, entry in zip(jobs, entries, strict=True)},
    }
    _log_notes(kind, index["cases"])
    _remove_stale_files(out.parent, jobs)
    write_json(out, index)


def prepare_one(job: CaseToPrepare) -> dict[str, Any]:
    """Prepare one case, unless it is finished already. Returns its entry in the index."""
    dataset = get_dataset(job.dataset)
    content = sha256(job.file) if _finished(job) else _make(dataset, job)
    return _entry(job, content, dataset.organs)


def _make(dataset: Dataset, job: CaseToPrepare) -> str:
    """Prepare one case and store it. Returns the sha256 of its file."""
    with own_input():
        case = run_steps(_read(dataset, job), job.preparation, job.applied)
        _check_grid(job, case.geometry)
        voxels = None if case.label is None else voxels_of(case.label, len(dataset.organs) + 1)
        if voxels is not None and not any(voxels[1:]):
            raise UserError(f"case {job.case.id}: no labelled voxel is left after the preparation: use a finer grid")
    return write_case(job.file, case, job.made_from, voxels)


def _check_grid(job: CaseToPrepare, geometry: Geometry) -> None:
    """Raise UserError for a grid on which a prediction could not be stored and read again."""
    sides, spacing = geometry.shape, geometry.spacing_mm
    if min(sides) < 2 or max(sides) > LONGEST_SIDE or min(spacing) < SHORTEST_MM or max(spacing) > LONGEST_MM:
        raise UserError(
            f"case {job.case.id}: the prepared image has shape {sides} and spacing "
            f"{' x '.join(f'{length:g}' for length in spacing)} mm, expected 2 to {LONGEST_SIDE} voxels of "
            f"{SHORTEST_MM:g} to {LONGEST_MM:g} mm along each axis: use another grid or a larger crop"
        )


def _job(
    case: RawCase, listed: Mapping[str, Any], preparation: Preparation, code: str, raw: Path, folder: Path
) -> CaseToPrepare:
    hashes = {name: listed["files"][name]["sha256"] for name in (case.image, case.label) if name is not None}
    applied = frozenset(listed["applied"])
    made_from = digest([hashes, sorted(applied), preparation.model_dump(mode="json"), code])
    return CaseToPrepare(
        listed["dataset"], case, raw, hashes, applied, preparation, folder / f"{case.id}.h5", made_from
    )


def _read(dataset: Dataset, job: CaseToPrepare) -> Scan:
    """Read the raw case. The caller must not keep a reference, so that its memory is freed after the first step."""
    scan = read_case(dataset, job.case, job.raw)
    require_listed(job.case, job.raw, job.hashes)
    return scan


def _finished(job: CaseToPrepare) -> bool:
    """Whether an earlier call has finished this case from the same raw files, steps and code."""
    if not job.file.exists():
        return False
    try:
        return read_made_from(job.file) == job.made_from
    except (UserError, KeyError):
        return False


def _entry(job: CaseToPrepare, content: str, organs: Sequence[Organ]) -> dict[str, Any]:
    """The entry of a stored case, whose file has the sha256 ``content``, in the index.

    affine, raw_affine: voxel indices -> RAS+ mm; inverse(affine) @ raw_affine maps a raw voxel to the stored one.
    vanished: abbreviations of the organs that the raw label map has and the prepared one has not. crop: first voxel and
    size of the crop on the grid of its step, None without a cropping step. statistics: axes and intensities before
    (raw) and after preparation (prepared), the raw label's voxels per class, and notes of the readers and of steps.
    """
    geometry, counts, statistics = read_geometry(job.file), read_voxels(job.file), read_statistics(job.file)
    before = statistics["labelled"]["voxels"] if counts else []
    vanished = [organ.abbreviation for organ in organs if counts and before[organ.id] and not counts[organ.id]]
    return {
        "file": job.file.name,
        "sha256": content,
        "shape": list(geometry.shape),
        "spacing_mm": [round(value, 6) for value in geometry.spacing_mm],
        "affine": geometry.affine.tolist(),
        "raw_shape": list(geometry.raw_shape),
        "raw_affine": geometry.raw_affine.tolist(),
        "label": counts is not None,
        "voxels": counts,
        "vanished": vanished,
        "crop": next((facts for step, facts in statistics.items() if step.startswith("crop_")), None),
        "statistics": statistics,
    }


def _log_notes(dataset: Dataset, cases: Mapping[str, Mapping[str, Any]]) -> None:
    """Log each note of the readers, and each kind of caveat, once, with its cases; warn of each organ that vanished."""
    concerned: dict[str, list[str]] = {}
    for case, entry in cases.items():
        for note in dict.fromkeys(note for notes in entry["statistics"]["reading"].values() for note in notes):
            concerned.setdefault(note, []).append(case)
    for note, named in concerned.items():
        logger.info(f"{dataset.name}: {note} ({len(named)} of {len(cases)} cases: {some(named)})")
    for caveat in (_intensity_caveat, _spacing_caveat, _organ_caveat):
        found = {case: text for case, entry in cases.items() if (text := caveat(dataset, case, entry))}
        if found:
            first, *others = found
            more = f" ({counted(len(others), 'more case')} alike: {some(others)})" if others else ""
            logger.warning(f"warning: case {first}: {found[first]}{more}")
    for case, entry in cases.items():
        for abbreviation in entry["vanished"]:
            organ = dataset.organ(abbreviation)
            voxels = entry["statistics"]["labelled"]["voxels"][organ.id]
            logger.warning(
                f"warning: case {case}: {organ.name} (voxels in the raw label map: {voxels}) vanishes in the "
                "preparation, no voxel of it is left on the prepared grid: use a finer grid if it is to be scored there"
            )


def _intensity_caveat(dataset: Dataset, case: str, entry: Mapping[str, Any]) -> str | None:
    modality = dataset.modality if dataset.modality_of is None else dataset.modality_of(case)
    raw = entry["statistics"]["raw"]
    return intensity_caveat(modality, raw["min"], raw["max"])


def _spacing_caveat(dataset: Dataset, case: str, entry: Mapping[str, Any]) -> str | None:
    return spacing_caveat(spacing_of(np.asarray(entry["raw_affine"])))


def _organ_caveat(dataset: Dataset, case: str, entry: Mapping[str, Any]) -> str | None:
    return organ_caveat(dataset.organs, entry["statistics"]["labelled"]["voxels"]) if entry["label"] else None


def _remove_stale_files(folder: Path, jobs: list[CaseToPrepare]) -> None:
    """Remove stored cases that the raw data no longer hold."""
    wanted = {job.file for job in jobs}
    for file in set(folder.glob("*.h5")) - wanted:
        file.unlink()
