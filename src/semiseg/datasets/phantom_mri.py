"""Synthetic late-enhancement MRI with one organ, the left atrium: stands in for LA where no real data is at hand.

Isotropic voxels as in LA; uneven coils, Rician noise and chambers of the same brightness make it more than a threshold.
"""

from typing import TYPE_CHECKING

from semiseg.dataset import Organ
from semiseg.datasets._synthetic import synthetic

if TYPE_CHECKING:
    from semiseg.base.volume import Volume
    from semiseg.params.data import GenerateOptions

ORIENTATIONS = ("LPS", "RAS")


def draw_case(options: "GenerateOptions", index: int) -> tuple["Volume", "Volume"]:
    """Image and label map of one case, determined by the seed and the case's index alone."""
    import numpy as np

    from semiseg.data.drawing.canvas import Canvas, reoriented, scan_grid, smooth_field
    from semiseg.data.drawing.heart import Heart, add_coil, paint_heart

    rng = np.random.default_rng([options.seed, index])
    width_mm = rng.uniform(190, 230)
    shape, affine = scan_grid(options.size, width_mm, width_mm / options.size, rng.uniform(78, 92), rng)
    canvas = Canvas(shape, affine, smooth_field(rng, shape, 3.5))
    paint_heart(canvas, Heart(rng))
    orientation = str(rng.choice(ORIENTATIONS))
    return reoriented(add_coil(canvas, rng), affine, orientation), reoriented(canvas.label, affine, orientation)


DATASET = synthetic(
    "phantom_mri",
    "Phantom: synthetic late-enhancement MRI with the left atrium",
    "MRI",
    (Organ(1, "left atrium", "LA"),),
    draw_case,
)
