"""Reading a raw case for preparation. What cannot be used is refused by one sentence that names the case."""

from pathlib import Path
from typing import Any

import numpy as np

from semiseg.data.preparation import Scan
from semiseg.data.raw_volumes import on_grid, read_raw_image, read_raw_label, voxels_of
from semiseg.dataset import Dataset, RawCase


def read_case(dataset: Dataset, case: RawCase, raw: Path) -> Scan:
    """Read a raw case: image float32, label uint8, both ``[x y z]`` on one grid.

    The statistics hold the readers' notes on each file (``reading``), and the voxels per class of the raw label map
    (``labelled``). Raises UserError for what would spoil training.
    """
    image = read_raw_image(dataset, case, raw)
    label, notes = None, {"image": list(image.notes)}
    facts: dict[str, Any] = {"reading": notes}
    if case.label is not None:
        volume = on_grid(case, read_raw_label(dataset, case, raw), image.array.shape, image.affine)
        label, notes["label"] = volume.array, list(volume.notes)
        facts["labelled"] = {"voxels": voxels_of(label, len(dataset.organs) + 1)}
    return Scan(case.id, np.asarray(image.array, np.float32), label, image.affine, facts)
