"""What a check needs to know of a case: a small picture, a hash of its voxels, its intensities, its organs.

Kept beside the splits under a name made from the raw file's hash and the code, so that a second check reads no scan.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from semiseg.base.errors import UserError
from semiseg.base.files import atomic, digest, read_json, write_json
from semiseg.base.volume import Volume
from semiseg.data.splitcheck.similarity import Signature, signature
from semiseg.dataset import RawCase, get_dataset
from semiseg.jobs.code_hash import code_hash

DARKEST = 0.1  # percentile: a few stray voxels do not count


@dataclass(frozen=True)
class Facts:
    """content: sha256 of the voxels in RAS order as float32. darkest: near the lowest intensity, as stored (HU for CT).

    organs: voxels per label id, None where the label was not read: it never is for unlabelled cases.
    """

    case: str
    key: str
    content: str
    darkest: float
    signature: Signature
    organs: Mapping[int, int] | None


@dataclass(frozen=True)
class Job:
    """One case to look at; ``cache``: folder of what earlier calls found."""

    dataset: str
    case: RawCase
    raw: Path
    hashes: Mapping[str, str]
    with_label: bool
    cache: Path


def look(job: Job) -> Facts:
    """Facts of a case, from the cache where they are there. Raises UserError naming the case for a damaged file."""
    code = code_hash("semiseg.data.splitcheck.facts", f"semiseg.datasets.{job.dataset}")
    key = digest([job.hashes[job.case.image], code])[:32]
    content, darkest, small = _image(job, job.cache / f"{key}.npz")
    organs = None
    if job.with_label and job.case.label is not None:
        organs = _organs(job, job.cache / f"{digest([job.hashes[job.case.label], code])[:32]}.json")
    return Facts(job.case.id, key, content, darkest, small, organs)


def _image(job: Job, file: Path) -> tuple[str, float, Signature]:
    if not file.exists():
        volume = _named(job, job.case.image, get_dataset(job.dataset).read_image)
        if not np.isfinite(volume.array).all():
            raise UserError(f"case {job.case.id}: {job.case.image} has values that are not finite: repair the file")
        small = signature(volume)
        facts = {"content": _content(volume), "darkest": np.percentile(volume.array, DARKEST)}
        with atomic(file) as temporary:
            np.savez(temporary, array=small.array, grid_mm=small.grid_mm, **facts)
    with np.load(file, allow_pickle=False) as stored:
        small = Signature(stored["array"], float(stored["grid_mm"]))
        return str(stored["content"]), float(stored["darkest"]), small


def _organs(job: Job, file: Path) -> dict[int, int]:
    if not file.exists():
        assert job.case.label is not None  # asked for labelled cases alone
        volume = _named(job, job.case.label, get_dataset(job.dataset).read_label)
        values, counts = np.unique(volume.array, return_counts=True)
        write_json(file, {str(int(value)): int(count) for value, count in zip(values, counts, strict=True) if value})
    return {int(value): count for value, count in read_json(file).items()}


def _named(job: Job, name: str, reader: Callable[[Path], Volume]) -> Volume:
    try:
        return reader(job.raw / name)
    except UserError as error:
        raise UserError(f"case {job.case.id}: {error}") from None


def _content(volume: Volume) -> str:
    array = np.asarray(apply_orientation(volume.array, io_orientation(volume.affine)), np.float32)
    found = hashlib.sha256(str(array.shape).encode())
    found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
