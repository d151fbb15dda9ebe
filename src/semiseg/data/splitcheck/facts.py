"""Facts of a case for the check of a split: a small volume, a hash of its voxels, its darkest intensity, its organs.

They are stored beside the splits, under a name made from the hashes of raw file and code. A second check therefore
reads no scan.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from semiseg.base.files import atomic, digest, read_json, write_json
from semiseg.base.volume import Volume
from semiseg.data.geometry import Affine
from semiseg.data.raw_volumes import on_grid, read_raw_image, read_raw_label, voxels_of
from semiseg.data.splitcheck.similarity import Signature, signature
from semiseg.dataset import RawCase, get_dataset
from semiseg.jobs.code_hash import code_hash

DARKEST = 0.1  # percentile: a few stray voxels do not count


@dataclass(frozen=True)
class Facts:
    """Facts of one case.

    content: sha256 of the voxels in RAS order as float32. darkest: 0.1st percentile of the intensities as stored (HU
    for CT). organs: voxels per label id, None where the label was not read; labels of unlabelled cases never are.
    """

    case: str
    key: str
    content: str
    darkest: float
    signature: Signature
    organs: Mapping[int, int] | None


@dataclass(frozen=True)
class CaseToCheck:
    """A case and what a worker process needs for its facts; ``cache``: folder of the facts of earlier calls."""

    dataset: str
    case: RawCase
    raw: Path
    hashes: Mapping[str, str]
    with_label: bool
    cache: Path


def facts_of(given: CaseToCheck) -> Facts:
    """Facts of a case, from the cache if they are there. Raises UserError for what preparation refuses."""
    code = code_hash("semiseg.data.splitcheck.facts", f"semiseg.datasets.{given.dataset}")
    key = digest([given.hashes[given.case.image], code])[:32]
    image = _image(given, given.cache / f"{key}.npz")
    organs = None
    if given.with_label and given.case.label is not None:
        both = [given.hashes[given.case.image], given.hashes[given.case.label], code]
        organs = _organs(given, image, given.cache / f"{digest(both)[:32]}.json")
    return Facts(given.case.id, key, image.content, image.darkest, image.signature, organs)


@dataclass(frozen=True)
class _Image:
    """What is stored of an image. shape, affine: its grid, voxel indices -> RAS+ mm."""

    content: str
    darkest: float
    signature: Signature
    shape: tuple[int, ...]
    affine: Affine


def _image(given: CaseToCheck, file: Path) -> _Image:
    if not file.exists():
        volume = read_raw_image(get_dataset(given.dataset), given.case, given.raw)
        small = signature(volume)
        facts = {
            "content": _content(volume),
            "darkest": np.percentile(volume.array, DARKEST),
            "shape": volume.array.shape,
            "affine": volume.affine,
        }
        with atomic(file) as temporary:
            np.savez(temporary, array=small.array, grid_mm=small.grid_mm, **facts)
    with np.load(file, allow_pickle=False) as stored:
        small = Signature(stored["array"], float(stored["grid_mm"]))
        shape = tuple(int(side) for side in stored["shape"])
        return _Image(str(stored["content"]), float(stored["darkest"]), small, shape, stored["affine"])


def _organs(given: CaseToCheck, image: _Image, file: Path) -> dict[int, int]:
    """Voxels per organ of the label map. Raises UserError for a label map on another grid than its image."""
    if not file.exists():
        dataset = get_dataset(given.dataset)
        label = on_grid(given.case, read_raw_label(dataset, given.case, given.raw), image.shape, image.affine)
        counts = voxels_of(label.array, len(dataset.organs) + 1)
        write_json(file, {str(organ): count for organ, count in enumerate(counts) if organ and count})
    return {int(value): count for value, count in read_json(file).items()}


def _content(volume: Volume) -> str:
    array = np.asarray(apply_orientation(volume.array, io_orientation(volume.affine)), np.float32)
    found = hashlib.sha256(str(array.shape).encode())
    found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
