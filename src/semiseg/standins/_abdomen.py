"""Miniature abdomens for the stand-ins of FLARE22, AMOS22 and BTCV: a small grid over a whole patient, any organ ids.

The patient is shrunk, by one factor in plane and another along the body, until few voxels of the original's size hold
all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semiseg.base.errors import UserError
from semiseg.base.texts import some
from semiseg.data.organs import ORGANS
from semiseg.dataset import Dataset, Organ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semiseg.base.volume import Volume
    from semiseg.data.drawing.abdomen import Patient
    from semiseg.data.drawing.canvas import Canvas

DRAWN = (*(organ.abbreviation for organ in ORGANS), "PSV", "Bla", "Pro")  # by id, from 1
VEINS, BLADDER, PROSTATE = 14, 15, 16
WIDTH_MM = 316.0  # of a life-size field of view
HU_TO_MRI = {
    -1000: 4, -850: 30, -250: 15, -100: 420, 5: 130, 40: 230, 60: 170, 85: 250, 105: 280, 140: 200, 165: 330, 205: 270,
    250: 360, 300: 90, 420: 60,
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """Field of view of a stand-in.

    voxels: columns (as many as rows) and slices. plane_mm: range of the voxel size in plane. slice_mm: choices of the
    slice distance. top, bottom: ends of the field of view, in life-size mm above the first lumbar vertebra.
    """

    voxels: tuple[int, int]
    plane_mm: tuple[float, float]
    slice_mm: Sequence[float]
    top: float = 105.0
    bottom: float = -112.0


def require_official(dataset: Dataset, cases: Sequence[str]) -> None:
    """Raise UserError for names that are not the publisher's, because the folder depends on the name."""
    if unknown := sorted(set(cases) - {case for part in dataset.parts for case in part.cases}):
        known = ", ".join(part.cases[0] for part in dataset.parts)
        raise UserError(f"{dataset.name} has no case {some(unknown)}: a stand-in takes official ids, such as {known}")


def draw_abdomen(
    field: Field, organs: Sequence[Organ], orientation: str, rng: "np.random.Generator", mri: bool = False
) -> tuple["Volume", "Volume"]:
    """Image (int16: HU, or grey values from 0) and label map (uint8, ids of ``organs``; others are background)."""
    import numpy as np

    from semiseg.data.drawing.abdomen import Patient, add_scanner, paint_abdomen
    from semiseg.data.drawing.canvas import reoriented
    from semiseg.data.drawing.heart import add_coil

    canvas, affine = _grid(field, rng)
    patient = Patient(rng)
    patient.gallbladder = True
    paint_abdomen(canvas, patient, VEINS)
    _paint_pelvis(canvas, patient)
    canvas.drop_islands(0.1)
    if mri:
        canvas.image[:] = np.interp(canvas.image, list(HU_TO_MRI), list(HU_TO_MRI.values()))
    image = add_coil(canvas, rng) if mri else add_scanner(canvas, rng)
    ids = {organ.abbreviation: organ.id for organ in organs}
    label = np.array([0, *(ids.get(name, 0) for name in DRAWN)], np.uint8)[canvas.label]
    return reoriented(image, affine, orientation), reoriented(label, affine, orientation)


def _grid(field: Field, rng: "np.random.Generator") -> tuple["Canvas", "NDArray[np.float64]"]:
    """The canvas to paint life-size shapes on, and the scan's affine (RAS)."""
    import numpy as np

    from semiseg.data.drawing.canvas import Canvas, smooth_field
    from semiseg.standins._scan import WARP_MM

    columns, slices = field.voxels
    plane_mm, slice_mm = rng.uniform(*field.plane_mm), float(rng.choice(field.slice_mm))
    width, length = columns * plane_mm, slices * slice_mm
    scale = np.array([width / WIDTH_MM, width / WIDTH_MM, length / (field.top - field.bottom)])
    shape = (columns, columns, slices)
    affine = np.diag([plane_mm, plane_mm, slice_mm, 1.0])
    middle = scale * (0.0, -4.0, (field.top + field.bottom) / 2) + rng.normal(0, 0.5, 3)
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Canvas(shape, np.diag([*(1 / scale), 1.0]) @ affine, smooth_field(rng, shape, WARP_MM)), affine


def _paint_pelvis(canvas: "Canvas", patient: "Patient") -> None:
    """Bladder and the prostate below it; most fields of view end above them."""
    from semiseg.data.drawing.abdomen import FAT

    bladder, prostate = patient.oval((0, 30, -160), (38, 30, 26)), patient.oval((0, 18, -198), (25, 19, 17))
    for shape, hu, label in ((bladder, 8.0, BLADDER), (prostate, 62.0, PROSTATE)):
        canvas.paint(shape, FAT, grow=5)
        canvas.paint(shape, hu, label)
