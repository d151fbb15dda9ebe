"""Stand-in of AMOS22: miniature CT and MRI of the whole abdomen, served in a Zenodo record.

As in the original: names, layout, CT of about 0.78 x 0.78 x 5 mm with axes to the left, front and head, labels uint16,
MRI (ids 501..600) without bladder and prostate, macOS's hidden twins of the files. Voxel sizes of the MRI are assumed.
Test cases have no labels.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from semiseg.datasets.amos22 import ARCHIVE, DATASET, RECORD, modality_of
from semiseg.standins._abdomen import Field, draw_abdomen, require_official

TOP, ORIENTATION = "amos22", "LAS"
PARTS = ("Tr", "Va", "Ts")  # endings of the folders of DATASET.parts
CT = Field((96, 32), (0.7, 0.86), (5.0,), bottom=-225.0)
MRI = Field((72, 30), (1.1, 1.3), (3.0,))
ONLY_CT = ("Bla", "Pro")


def draw(folder: Path, cases: Sequence[str], seed: int, workers: int) -> None:
    """Write the record with ``amos22.zip`` of these cases below ``served``. Raises UserError for unknown names."""
    from semiseg.base.parallel import each
    from semiseg.standins._zenodo import serve_record

    require_official(DATASET, cases)
    with TemporaryDirectory() as scratch:
        each(partial(_draw_case, Path(scratch), seed), sorted(cases), workers, "draw amos22")
        files = {path.relative_to(scratch).as_posix(): path for path in Path(scratch).rglob("*.nii.gz")}
        members: dict[str, bytes | Path] = {f"{TOP}/{name}": path for name, path in files.items()}
        for name in files:
            place, _, file = name.rpartition("/")
            members[f"__MACOSX/{TOP}/{place}/._{file}"] = b"Mac OS X"
        members[f"{TOP}/dataset.json"] = _description().encode()
        serve_record(folder, RECORD, ARCHIVE, members)


def _description() -> str:
    labels = {"0": "background", **{str(organ.id): organ.name for organ in DATASET.organs}}
    return json.dumps({"name": "AMOS", "modality": {"0": "CT"}, "labels": labels})


def _draw_case(folder: Path, seed: int, case: str) -> None:
    import numpy as np

    from semiseg.base.volume import Volume
    from semiseg.data.images import write_nifti
    from semiseg.standins._scan import rng_of

    mri = modality_of(case) == "MRI"
    organs = [organ for organ in DATASET.organs if not (mri and organ.abbreviation in ONLY_CT)]
    image, label = draw_abdomen(MRI if mri else CT, organs, ORIENTATION, rng_of(seed, case), mri)
    part, ending = next((part, ending) for part, ending in zip(DATASET.parts, PARTS, strict=True) if case in part.cases)
    write_nifti(folder / f"images{ending}" / f"{case}.nii.gz", image)
    if part.labelled:
        write_nifti(folder / f"labels{ending}" / f"{case}.nii.gz", Volume(label.array.astype(np.uint16), label.affine))
