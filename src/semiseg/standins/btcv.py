"""Stand-in of BTCV: miniature abdomens in one archive, as a registered user would bring it.

As in the original: names, layout, voxel sizes, int16 HU, label ids with the portal and splenic veins. Axes run to the
left, front and head (of the original not verified).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from semiseg.data.standin import BROUGHT
from semiseg.datasets.btcv import DATASET, TEST
from semiseg.standins._abdomen import Field, draw_abdomen, require_official

TOP, ORIENTATION = "RawData", "LAS"
FIELD = Field((96, 30), (0.66, 0.86), (2.5, 3.0, 3.0, 5.0))


def draw(folder: Path, cases: Sequence[str], seed: int, workers: int) -> None:
    """Write ``brought/RawData.zip`` with these cases. Raises UserError for other names than BTCV's."""
    from semiseg.base.parallel import each
    from semiseg.data.arrival.zipped import write_zip

    require_official(DATASET, cases)
    with TemporaryDirectory() as scratch:
        each(partial(_draw_case, Path(scratch), seed), sorted(cases), workers, "draw btcv")
        files = {f"{TOP}/{path.relative_to(scratch).as_posix()}": path for path in Path(scratch).rglob("*.nii.gz")}
        write_zip(folder / BROUGHT / f"{TOP}.zip", files, compress=False)


def _draw_case(folder: Path, seed: int, case: str) -> None:
    from semiseg.data.images import write_nifti
    from semiseg.standins._scan import rng_of

    image, label = draw_abdomen(FIELD, DATASET.organs, ORIENTATION, rng_of(seed, case))
    number = case[-4:]
    if int(number) in TEST:
        write_nifti(folder / "Testing" / "img" / f"{case}.nii.gz", image)
    else:
        write_nifti(folder / "Training" / "img" / f"{case}.nii.gz", image)
        write_nifti(folder / "Training" / "label" / f"label{number}.nii.gz", label)
