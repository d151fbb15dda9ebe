"""Reading a raw case for preparation. What cannot be used is refused by one sentence that names the case."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.data.checks import intensity_caveat, organ_caveat, spacing_caveat
from semiseg.data.preparation import Scan
from semiseg.data.raw_volumes import on_grid, range_of, read_raw_image, read_raw_label, voxels_of
from semiseg.dataset import Dataset, RawCase

logger = logging.getLogger(__name__)


def read_case(dataset: Dataset, case: RawCase, raw: Path) -> Scan:
    """Read a raw case: image float32, label uint8, both ``[x y z]`` on one grid.

    The statistics hold the readers' notes on each file (``reading``), and the voxels per class of the raw label map
    (``labelled``). Raises UserError for what would spoil training; a caveat (``semiseg.data.checks``) is printed
    as a warning.
    """
    image = read_raw_image(dataset, case, raw)
    modality = dataset.modality if dataset.modality_of is None else dataset.modality_of(case.id)
    _warn(case, intensity_caveat(modality, *range_of(image.array)))
    _warn(case, spacing_caveat(image.spacing_mm))
    label, notes = None, {"image": list(image.notes)}
    facts: dict[str, Any] = {"reading": notes}
    if case.label is not None:
        volume = on_grid(case, read_raw_label(dataset, case, raw), image.array.shape, image.affine)
        label, notes["label"] = volume.array, list(volume.notes)
        facts["labelled"] = {"voxels": voxels_of(label, len(dataset.organs) + 1)}
        _warn(case, organ_caveat(dataset.organs, facts["labelled"]["voxels"]))
    return Scan(case.id, np.asarray(image.array, np.float32), label, image.affine, facts)


def _warn(case: RawCase, caveat: str | None) -> None:
    if caveat is not None:
        logger.warning(f"warning: case {case.id}: {caveat}")
