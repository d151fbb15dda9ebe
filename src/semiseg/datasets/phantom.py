"""Synthetic abdominal CT with the thirteen organs of FLARE22: the embedded default, drawn where it is needed.

Every case has its own anatomy: body size, positions, sizes and rotations of organs, a smooth deformation, contrast
phase, noise, spacing, slice thickness and orientation; some have no gallbladder. Files and label ids are FLARE22's.
"""

from typing import TYPE_CHECKING

from semiseg.data.organs import ORGANS
from semiseg.datasets._synthetic import synthetic

if TYPE_CHECKING:
    from semiseg.base.volume import Volume
    from semiseg.params.data import GenerateOptions

ORIENTATIONS = ("LPI", "RAS", "LAS", "LPS")
SLICES_MM = (2.5, 3.0, 4.0, 5.0)


def draw_case(options: "GenerateOptions", index: int) -> tuple["Volume", "Volume"]:
    """Image and label map of one case, determined by the seed and the case's index alone."""
    import numpy as np

    from semiseg.data.drawing.abdomen import Patient, add_scanner, paint_abdomen
    from semiseg.data.drawing.canvas import Canvas, reoriented, scan_grid, smooth_field

    rng = np.random.default_rng([options.seed, index])
    size = rng.uniform(0.88, 1.02)
    width_mm = float(np.clip(size * 304 * rng.uniform(1.06, 1.18), 300, 380))
    shape, affine = scan_grid(options.size, width_mm, float(rng.choice(SLICES_MM)), rng.uniform(195, 225), rng)
    warp = smooth_field(rng, shape, 4.5)
    canvas = Canvas(shape, np.diag([1 / size, 1 / size, 1 / size, 1]) @ affine, warp)
    paint_abdomen(canvas, Patient(rng))
    canvas.drop_islands(0.1)
    orientation = str(rng.choice(ORIENTATIONS))
    return reoriented(add_scanner(canvas, rng), affine, orientation), reoriented(canvas.label, affine, orientation)


DATASET = synthetic(
    "phantom", "Phantom: synthetic abdominal CT with FLARE22's thirteen organs", "CT", ORGANS, draw_case
)
