"""Stand-in of BraTS 2019: miniature skull-stripped brains with a glioma, as a registered user would bring them.

Some cases are stored as .nii, the others as .nii.gz, because copies of both kinds exist. T1, T1ce and T2, which nothing
reads, have no noise, so that they compress well. The grade is drawn, because a name does not contain it.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from semiseg.data.standin import BROUGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP = "MICCAI_BraTS_2019_Data_Training"
SHAPE, SCALE = (80, 80, 60), 0.42


def draw(folder: Path, cases: Sequence[str], seed: int, workers: int) -> None:
    """Write ``brought/MICCAI_BraTS_2019_Data_Training.zip`` with these cases."""
    from semiseg.base.parallel import each
    from semiseg.data.arrival.zipped import write_zip

    with TemporaryDirectory() as scratch:
        each(partial(_draw_case, Path(scratch), seed), sorted(cases), workers, "draw brats19")
        files = {f"{TOP}/{path.relative_to(scratch).as_posix()}": path for path in Path(scratch).rglob("*.nii*")}
        write_zip(folder / BROUGHT / f"{TOP}.zip", files)


def _draw_case(folder: Path, seed: int, case: str) -> None:
    import numpy as np

    from semiseg.data.drawing.brain import FLAIR, T1, T1CE, T2, add_coil, contrast, draw_tissues
    from semiseg.data.drawing.canvas import reoriented
    from semiseg.data.images import write_nifti
    from semiseg.standins._scan import miniature, rng_of

    rng = rng_of(seed, case)
    grade, ending = ("LGG" if rng.random() < 0.25 else "HGG"), (".nii" if rng.random() < 0.2 else ".nii.gz")
    canvas, affine = miniature(SHAPE, (1.0, 1.0, 1.0), SCALE, (0, 0, 0), rng)
    tissues = draw_tissues(canvas, rng)
    arrays: dict[str, NDArray[Any]] = {"flair": add_coil(contrast(tissues, FLAIR), rng), "seg": canvas.label}
    for name, look in (("t1", T1), ("t1ce", T1CE), ("t2", T2)):
        arrays[name] = contrast(tissues, look).astype(np.int16)
    for name, array in arrays.items():
        write_nifti(folder / grade / case / f"{case}_{name}{ending}", reoriented(array, affine, "LPS"))
