"""Synthetic late-enhancement MRI with one organ, the left atrium: stands in for LA where no real data is at hand.

Isotropic voxels as in LA; uneven coils, Rician noise and chambers of the same brightness make it more than a threshold.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.dataset import Dataset, Organ, RawCase
from semiseg.datasets._synthetic import find_cases, generate_cases, read

if TYPE_CHECKING:
    from semiseg.config import GenerateOptions
    from semiseg.volume import Volume

NAME = "phantom_mri"
ORIENTATIONS = ("LPS", "RAS")


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder; UserError when it is empty."""
    return find_cases(raw, NAME)


def generate(folder: Path, options: Mapping[str, Any], workers: int) -> None:
    """Draw the collection (see ``GenerateOptions``) with this many processes."""
    generate_cases(folder, options, workers, NAME, draw_case)


def draw_case(options: "GenerateOptions", index: int) -> tuple["Volume", "Volume"]:
    """Image and label map of one case, determined by the seed and the case's index alone."""
    import numpy as np

    from semiseg.datasets._drawing import Canvas, scan_grid, smooth_field, turned
    from semiseg.datasets._heart import Heart, add_coil, paint_heart

    rng = np.random.default_rng([options.seed, index])
    width_mm = rng.uniform(190, 230)
    shape, affine = scan_grid(options.size, width_mm, width_mm / options.size, rng.uniform(78, 92), rng)
    canvas = Canvas(shape, affine, smooth_field(rng, shape, 3.5))
    paint_heart(canvas, Heart(rng))
    orientation = str(rng.choice(ORIENTATIONS))
    return turned(add_coil(canvas, rng), affine, orientation), turned(canvas.label, affine, orientation)


DATASET = Dataset(
    name=NAME,
    title="Phantom: synthetic late-enhancement MRI with the left atrium",
    modality="MRI",
    organs=(Organ(1, "left atrium", "LA"),),
    licence="Apache-2.0",
    citation="semiseg",
    source="drawn by semiseg",
    how_to_get="it is drawn on this machine: give datasets.phantom_mri.generate in params.yaml",
    find=find,
    read_image=read,
    read_label=read,
    generate=generate,
)
