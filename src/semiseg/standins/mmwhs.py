"""Stand-in of MM-WHS: miniature hearts in CT and MRI, in one archive as a registered user would bring it.

As in the original: names, spacings, label values, axes that run differently from scan to scan, stray label voxels at
the edge of mr_train_1002. One MRI label map has voxels of the stray value 421.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from semiseg.data.standin import BROUGHT
from semiseg.datasets.mmwhs import STORED, STRAY, modality_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOP = "MM-WHS 2017 Dataset"
ORIENTATIONS = {"CT": ("LPS", "RAS", "LAI"), "MRI": ("LPS", "PIR", "RAI")}
STRAY_AT_EDGE, STRAY_VALUE = "mr_train_1002", "mr_train_1010"  # which case has the value 421 originally is not known


@dataclass(frozen=True)
class Size:
    """Voxels in plane, slices, their size in mm, and the miniature's scale."""

    plane: int
    slices: int
    plane_mm: float
    slice_mm: float
    scale: float


SIZES = {"CT": Size(88, 58, 0.44, 0.625, 0.26), "MRI": Size(64, 56, 0.97, 1.05, 0.42)}


def draw(folder: Path, cases: Sequence[str], seed: int, workers: int) -> None:
    """Write ``brought/MM-WHS 2017 Dataset.zip`` with these cases."""
    from semiseg.base.parallel import each
    from semiseg.data.arrival.zipped import write_zip

    with TemporaryDirectory() as scratch:
        each(partial(_draw_case, Path(scratch), seed), sorted(cases), workers, "draw mmwhs")
        files = {f"{TOP}/{path.relative_to(scratch).as_posix()}": path for path in Path(scratch).rglob("*.nii.gz")}
        write_zip(folder / BROUGHT / f"{TOP}.zip", files, compress=False)


def _draw_case(folder: Path, seed: int, case: str) -> None:
    import numpy as np

    from semiseg.data.drawing.canvas import reoriented
    from semiseg.data.images import write_nifti
    from semiseg.standins._scan import rng_of

    rng, modality = rng_of(seed, case), modality_of(case)
    image, label, affine = _draw_heart(SIZES[modality], modality, rng)
    stored = np.array([0, *STORED], np.int16)[label]
    if case == STRAY_AT_EDGE:
        stored[-2:, :3, :3] = STORED[1]
    if case == STRAY_VALUE:
        stored[tuple(np.argwhere(stored == STORED[1])[:5].T)] = STRAY
    orientation = str(rng.choice(ORIENTATIONS[modality]))
    part, _, _ = case.rpartition("_")
    write_nifti(folder / part / f"{case}_image.nii.gz", reoriented(image, affine, orientation))
    if part.endswith("train"):
        write_nifti(folder / part / f"{case}_label.nii.gz", reoriented(stored, affine, orientation))


def _draw_heart(
    size: Size, modality: str, rng: "np.random.Generator"
) -> tuple["NDArray[np.int16]", "NDArray[np.uint8]", "NDArray[np.float64]"]:
    import numpy as np

    from semiseg.data.drawing.abdomen import add_scanner
    from semiseg.data.drawing.heart import Heart, add_coil
    from semiseg.data.drawing.whole_heart import CENTRE, CT, MR, paint_whole_heart
    from semiseg.standins._scan import miniature

    plane_mm = size.plane_mm * rng.uniform(0.95, 1.1)
    spacing = (plane_mm, plane_mm, size.slice_mm)
    canvas, affine = miniature((size.plane, size.plane, size.slices), spacing, size.scale, CENTRE, rng)
    paint_whole_heart(canvas, Heart(rng), CT if modality == "CT" else MR)
    image = add_scanner(canvas, rng) if modality == "CT" else add_coil(canvas, rng)
    return np.asarray(image, np.int16), canvas.label, affine
