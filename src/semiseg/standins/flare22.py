"""Stand-in of FLARE22: the labelled scans in a Zenodo record, the others in the folders of a registered user's copy.

As in the original: names, layout, voxel sizes (labelled part: 0.64..0.77 x 2.5 mm), int16 HU, label ids, every organ in
every labelled case. Orientations of the original are not verified; here they vary.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from semiseg.data.organs import ORGANS
from semiseg.data.standin import BROUGHT
from semiseg.datasets.flare22 import ARCHIVE, DATASET, RECORD, UNLABELLED
from semiseg.standins._abdomen import Field, draw_abdomen, require_official

FIELD = Field((96, 30), (0.64, 0.77), (2.5,))
ORIENTATIONS = ("RAS", "LPS", "LAS")
TRAINING = "FLARE22Train"


def draw(folder: Path, cases: Sequence[str], seed: int, workers: int) -> None:
    """Write the record of the labelled cases below ``served``, the other cases below ``brought``.

    Raises UserError for names that are not of FLARE22.
    """
    from semiseg.base.parallel import each
    from semiseg.standins._zenodo import serve_record

    require_official(DATASET, cases)
    places = [(case, _folders(case)) for case in sorted(cases)]
    with TemporaryDirectory() as scratch:
        each(partial(_draw_case, Path(scratch), folder / BROUGHT, seed), places, workers, "draw flare22")
        members = {path.relative_to(scratch).as_posix(): path for path in Path(scratch).rglob("*.nii.gz")}
        serve_record(folder, RECORD, ARCHIVE, members)


def _folders(case: str) -> tuple[str, str | None]:
    """Folders of the case's image and label map as published."""
    if case.startswith("FLARE22_Tr_"):
        return f"{TRAINING}/images", f"{TRAINING}/labels"
    if case.startswith("FLARETs_"):
        return "Tuning/images", "Tuning/labels"
    first = 1 if int(case.removeprefix(UNLABELLED)) <= 1000 else 1001
    return f"Training/FLARE22_UnlabeledCase{first}-{first + 999}", None


def _draw_case(served: Path, brought: Path, seed: int, place: tuple[str, tuple[str, str | None]]) -> None:
    from semiseg.data.images import write_nifti
    from semiseg.standins._scan import rng_of

    case, (images, labels) = place
    rng = rng_of(seed, case)
    image, label = draw_abdomen(FIELD, ORGANS, str(rng.choice(ORIENTATIONS)), rng)
    root = served if images.startswith(TRAINING) else brought
    write_nifti(root / images / f"{case}_0000.nii.gz", image)
    if labels is not None:
        write_nifti(root / labels / f"{case}.nii.gz", label)
