"""Stand-in of LA: miniature late-enhancement MRI in the challenge's own form, as a registered user would bring it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from semiseg.data.standin import BROUGHT

TOP = "Training Set"
SHAPE, SPACING_MM, SCALE = (88, 88, 40), (0.625, 0.625, 0.625), 0.3


def draw(folder: Path, cases: Sequence[str], seed: int, workers: int) -> None:
    """Write ``brought/Training Set.zip`` with the NRRD files of these cases."""
    from semiseg.base.parallel import each
    from semiseg.data.arrival.zipped import write_zip

    with TemporaryDirectory() as scratch:
        each(partial(_draw_case, Path(scratch), seed), sorted(cases), workers, "draw la")
        files = {f"{TOP}/{path.relative_to(scratch).as_posix()}": path for path in Path(scratch).rglob("*.nrrd")}
        write_zip(folder / BROUGHT / f"{TOP}.zip", files, compress=False)


def _draw_case(folder: Path, seed: int, case: str) -> None:
    import numpy as np
    import SimpleITK as sitk

    from semiseg.data.drawing.canvas import reoriented
    from semiseg.data.drawing.heart import Heart, add_coil, paint_heart
    from semiseg.datasets.la import IMAGE, INSIDE, LABEL
    from semiseg.standins._scan import miniature, rng_of

    rng = rng_of(seed, case)
    canvas, affine = miniature(SHAPE, SPACING_MM, SCALE, (0, 14, 0), rng)
    paint_heart(canvas, Heart(rng))
    grey = np.clip(add_coil(canvas, rng) / 3, 0, 255)
    (folder / case).mkdir(parents=True)
    for name, array in ((IMAGE, grey.astype(np.uint8)), (LABEL, canvas.label * np.uint8(INSIDE))):
        volume = reoriented(array, affine, "LPS")
        image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose(2, 1, 0)))
        image.SetSpacing(SPACING_MM)
        image.SetOrigin((np.diag([-1.0, -1.0, 1.0]) @ volume.affine[:3, 3]).tolist())
        sitk.WriteImage(image, str(folder / case / name), useCompression=True)
