"""NIH Pancreas-CT: contrast-enhanced abdominal CT with the pancreas, open at The Cancer Imaging Archive.

Version 2 (2020-09-10) has 80 cases, version 1 had 82. Addresses: TCIA's NBIA REST API as public clients use it
(constantinpape/torch-em: data set nih_pancreas; jjjermiah/nbia-toolkit), the collection's page for the label maps.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from semiseg.base.errors import UserError
from semiseg.data.raw_files import raw_cases
from semiseg.dataset import Dataset, FetchJson, Grid, Organ, Part, RawCase, RemoteFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semiseg.base.volume import Volume

API = "https://services.cancerimagingarchive.net/nbia-api/services/v1"
LIST = f"{API}/getSeries?Collection=Pancreas-CT&format=json"
LABELS = "https://www.cancerimagingarchive.net/wp-content/uploads/TCIA_pancreas_labels-02-05-2017-1.zip"
CASE = re.compile(r"PANCREAS_\d{4}")
LABEL = re.compile(r"label(\d{4})\.nii(\.gz)?")
# names of slices: with an ending of DICOM, or without any (IM0001, 1.2.840.113619.5); LICENSE is none
SLICE = re.compile(r".*\.(dcm|dicom|ima)|[^.]*\d[^.]*|(\d+\.)+\d+", re.IGNORECASE)
WITHDRAWN = ("PANCREAS_0025", "PANCREAS_0070")
SLICES = ".slices"  # slices before they are written to a zip
PANCREAS_HU = 90  # portal-venous phase
FARTHEST_HU = 130  # mean distance from PANCREAS_HU; under a label map on fat, lung or air it is 190 and more
SPACING_MM = 0.01  # image and label voxels that differ by no more are the same
GET = (
    "download it from https://www.cancerimagingarchive.net/collection/pancreas-ct/ and bring the folder of the NBIA "
    "Data Retriever (Pancreas-CT/PANCREAS_0001/..) and TCIA_pancreas_labels-02-05-2017.zip"
)


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder: one zip of DICOM slices each; UserError when there are none."""
    return raw_cases(raw, _image_case, _label_case, f"holds no PANCREAS_*.zip: {GET}")


def _image_case(path: PurePosixPath) -> str | None:
    return path.stem if path.suffix == ".zip" and CASE.fullmatch(str(path.with_suffix(""))) else None


def _label_case(path: PurePosixPath) -> str | None:
    name = LABEL.fullmatch(str(path))
    return None if name is None else f"PANCREAS_{name[1]}"


def read_image(path: Path) -> "Volume":
    """CT in HU."""
    from semiseg.data.dicom import read_dicom

    return read_dicom(path)


def read_label(path: Path) -> "Volume":
    """Label map on the grid of its image, which lies beside it: ``label0001.nii.gz`` and ``PANCREAS_0001.zip``.

    The publisher's headers do not settle the direction of y, and tools disagree (mattiaspaul/deedsBCV, issue 2). Two
    candidates are compared: the label map by its header, and the same flipped along y. The one with the smaller mean of
    |HU - 90| below it counts, because that is nearer to a pancreas. Raises UserError when the grids differ or neither
    candidate lies on soft tissue.
    """
    from dataclasses import replace

    from semiseg.data.images import read_nifti
    from semiseg.data.raw_volumes import turned_to

    image = read_image(path.with_name(f"PANCREAS_{path.name[5:9]}.zip"))
    label = turned_to(read_nifti(path), image.affine)
    if label.array.shape != image.array.shape:
        raise UserError(
            f"{path} has shape {label.array.shape}, its image {image.array.shape}: bring image and label of one case"
        )
    if any(abs(a - b) > SPACING_MM for a, b in zip(label.spacing_mm, image.spacing_mm, strict=True)):
        raise UserError(
            f"{path} has voxels of {_mm(label)} mm, its image of {_mm(image)} mm: bring image and label of one case"
        )
    if not label.array.any():
        return replace(label, affine=image.affine)
    choices = [label.array, label.array[:, ::-1]]
    distances = [_distance_hu(image.array, choice) for choice in choices]
    if min(distances) > FARTHEST_HU:
        raise UserError(
            f"{path} does not lie on soft tissue: under it the CT is {distances[0]:.0f} HU from the pancreas's "
            f"{PANCREAS_HU} HU on average, flipped along y {distances[1]:.0f}, expected at most {FARTHEST_HU}: bring "
            "image and label of one case"
        )
    return replace(label, array=choices[distances.index(min(distances))], affine=image.affine)


def _mm(volume: "Volume") -> str:
    return " x ".join(f"{side:.3f}" for side in volume.spacing_mm)


def _distance_hu(image: "NDArray", label: "NDArray") -> float:  # type: ignore[type-arg]
    return float(abs(image[label > 0].astype(float) - PANCREAS_HU).mean())


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Import one zip of slices and one label map a case, from downloaded zips or the NBIA Data Retriever's folders.

    Slices are packed, stored and with fixed dates, so that the same slices always make the same bytes. Raises UserError
    when nothing fits or a case has more than one series.
    """
    from semiseg.data.arrival.importing import import_files

    waiting = raw / SLICES
    shutil.rmtree(waiting, ignore_errors=True)  # of an earlier call that was killed
    try:
        import_files(source, raw, dataset="pancreas_ct", place=_place, get=GET)
        for folder in sorted(waiting.glob("PANCREAS_*")):
            _pack(folder, raw / f"{folder.name}.zip")
    finally:
        shutil.rmtree(waiting, ignore_errors=True)


def _place(path: PurePosixPath) -> str | None:
    if LABEL.fullmatch(path.name) or (path.suffix == ".zip" and CASE.fullmatch(path.stem)):
        return path.name
    case = next((found[0] for part in path.parts[:-1] if (found := CASE.match(part))), None)
    if case is None or not SLICE.fullmatch(path.name):
        return None
    return f"{SLICES}/{case}/{path.parent.name}/{path.name}"


def _pack(folder: Path, target: Path) -> None:
    from semiseg.data.arrival.zipped import write_zip

    series = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(series) != 1:
        names = ", ".join(path.name for path in series)
        raise UserError(f"{folder.name} has {len(series)} series, expected one: bring one of {names}")
    slices = sorted(series[0].glob("*"))
    write_zip(target, {path.name: path for path in slices}, compress=False)


def remote(fetch_json: FetchJson) -> Sequence[RemoteFile]:
    """One zip of slices per series as TCIA lists them now, and the zip of all label maps; no checksums published."""
    files = {}
    for series in fetch_json(LIST):
        case = str(series.get("PatientID", ""))
        if series.get("Modality") != "CT" or not CASE.fullmatch(case):
            continue
        if case in files:
            raise UserError(f"{LIST} lists more than one series of {case}, expected one: bring your own copy; {GET}")
        files[case] = RemoteFile(f"{case}.zip", f"{API}/getImage?SeriesInstanceUID={series['SeriesInstanceUID']}")
    if not files:
        raise UserError(f"{LIST} lists no CT series: {GET}")
    return [*(files[case] for case in sorted(files)), RemoteFile("TCIA_pancreas_labels-02-05-2017.zip", LABELS)]


def case_id(name: str) -> str:
    """``image0057``, ``0057``, ``image0057_norm.h5`` and ``PANCREAS_0057.h5`` are ``PANCREAS_0057``."""
    number = re.search(r"\d{4}", name)
    return name if number is None else f"PANCREAS_{number[0]}"


DATASET = Dataset(
    name="pancreas_ct",
    title="NIH Pancreas-CT",
    modality="CT",
    typical=Grid((512, 512, 240), (0.86, 0.86, 1.0)),
    organs=(Organ(1, "pancreas", "Pan"),),
    licence="CC BY 3.0 (TCIA)",
    citation="Roth et al., Data from Pancreas-CT, The Cancer Imaging Archive (2016), "
    "doi:10.7937/K9/TCIA.2016.tNB1kqBU; Roth et al., DeepOrgan, MICCAI 2015",
    source="https://www.cancerimagingarchive.net/collection/pancreas-ct/",
    how_to_get=GET,
    find=find,
    read_image=read_image,
    read_label=read_label,
    parts=(
        Part(
            "collection",
            tuple(case for number in range(1, 83) if (case := f"PANCREAS_{number:04d}") not in WITHDRAWN),
            labelled=True,
            open=True,
        ),
    ),
    layout="Pancreas-CT/PANCREAS_0001/<study>/<series>/1-001.dcm .. (512 x 512 x 181..466, about 0.86 x 0.86 x 1 mm) "
    "and TCIA_pancreas_labels-02-05-2017/label0001.nii.gz ..; kept here as one zip of slices a case and the label maps",
    notes=(
        "PANCREAS_0025 and PANCREAS_0070 were withdrawn in version 2 (2020-09-10) because they show the same scan as "
        "PANCREAS_0002, so 80 cases are left. The zip of label maps may still hold 82.",
        "The common 62/20 split lists are of version 1: they test on case 0025 and train on 0002 and 0070, which show "
        "the same scan.",
        "Image and label map can be flipped against each other along y, depending on the tool that reads the DICOM "
        "files. Here the orientation is chosen by the CT: the one under whose label the mean distance from 90 HU is "
        "smaller, and at most 130 HU; the image's grid counts, the origin in the label's header does not.",
        "Crops of the published preparation are around the label, test cases included.",
        "The publisher gives no checksums. Another public loader (torch-em) recorded SHA-256 "
        "cf8a553c37c80e3840ce7392987b308f7a98cd5f50019511b2ac0f3a54b0934b for the zip of label maps.",
    ),
    import_from=import_from,
    remote=remote,
    case_id=case_id,
)
