"""Stand-in of Pancreas-CT: miniature abdomens, served as TCIA serves the original.

As in the original: a JSON list of series, one zip of slices and a licence per series, one zip of all label maps; slices
whose rows follow each other to the front of the patient, label maps that run to the left, front and feet by their
header (constantinpape/torch-em) with an origin of their own. Label maps of even cases are flipped along y, because
public tools disagree about the original.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from semiseg.data.standin import SERVED
from semiseg.datasets.pancreas_ct import API, LABELS, LIST

SHAPE, SPACING_MM, SCALE = (72, 72, 40), (0.86, 0.86, 1.0), 0.19
PANCREAS = 4  # id in the drawn abdomen


def draw(folder: Path, cases: Sequence[str], seed: int, workers: int) -> None:
    """Write below ``served``: the answers of the NBIA API for these cases and the zip of label maps."""
    from semiseg.base.files import write_text
    from semiseg.base.parallel import each
    from semiseg.data.arrival.zipped import write_zip

    served = folder / SERVED
    with TemporaryDirectory() as scratch:
        listed = each(partial(_draw_case, served, Path(scratch), seed), sorted(cases), workers, "draw pancreas_ct")
        labels = {f"TCIA_pancreas_labels-02-05-2017/{path.name}": path for path in Path(scratch).glob("*.nii.gz")}
        write_zip(_served_at(served, LABELS), labels, compress=False)
    write_text(_served_at(served, LIST), json.dumps(listed))


def _served_at(served: Path, url: str) -> Path:
    return served / PurePosixPath(url.removeprefix("https://"))


def _draw_case(served: Path, labels: Path, seed: int, case: str) -> Mapping[str, Any]:
    """Write one case; returns its entry in the list of series."""
    import numpy as np

    from semiseg.base.volume import Volume
    from semiseg.data.arrival.zipped import write_zip
    from semiseg.data.drawing.abdomen import Patient, add_scanner, paint_abdomen
    from semiseg.data.drawing.canvas import reoriented
    from semiseg.data.images import write_nifti
    from semiseg.standins._dicom import series_uid, write_slices
    from semiseg.standins._scan import miniature, rng_of

    rng = rng_of(seed, case)
    canvas, affine = miniature(SHAPE, SPACING_MM, SCALE, (0, 0, 5), rng)
    paint_abdomen(canvas, Patient(rng))
    image = reoriented(add_scanner(canvas, rng), affine, "LAI")
    mask = reoriented((canvas.label == PANCREAS).astype(np.uint8), affine, "LAI").array
    if int(case[-4:]) % 2 == 0:
        mask = mask[:, ::-1]
    write_nifti(labels / f"label{case[-4:]}.nii.gz", Volume(mask, np.diag([*(-1, 1, -1) * np.array(SPACING_MM), 1.0])))
    first_lps = image.affine[:3, 3] * (-1, -1, 1)
    slices = write_slices(image.array, SPACING_MM, first_lps, case)
    licence = {"LICENSE": b"A synthetic stand-in: no patient data.\n"}
    write_zip(_served_at(served, f"{API}/getImage?SeriesInstanceUID={series_uid(case)}"), {**slices, **licence})
    return {
        "Collection": "Pancreas-CT",
        "PatientID": case,
        "SeriesInstanceUID": series_uid(case),
        "Modality": "CT",
        "BodyPartExamined": "PANCREAS",
        "ImageCount": len(slices),
        "FileSize": sum(map(len, slices.values())),
    }
