"""AMOS22: abdominal CT and MRI, 15 organs, 360 labelled scans.

Sources: Zenodo record 7262581; neuro-ml/amid, amid/amos/dataset.py (archives, damaged scans, modality); uni-medical/
STU-Net, Task032_AMOS22_Task1/dataset.json (label ids); openmedlab/Awesome-Medical-Dataset (sizes, counts). Which case
belongs to the training and which to the validation part is taken from the DHC lists, which name them all.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from semiseg.base.errors import UserError
from semiseg.data.arrival.zenodo import zenodo_file
from semiseg.data.raw_files import nifti_stem, raw_cases
from semiseg.data.split_lists import read_list
from semiseg.dataset import Dataset, FetchJson, Grid, Organ, Part, RawCase, RemoteFile

if TYPE_CHECKING:
    from semiseg.base.volume import Volume

NAME, CONVERTED = re.compile(r"amos_\d{4}"), re.compile(r"amos_\d{4}_0000")
IMAGES, LABELS = ("imagesTr", "imagesVa", "imagesTs"), ("labelsTr", "labelsVa")  # training, validation, test
RECORD, ARCHIVE = 7262581, "amos22.zip"
LAST_CT, LAST_MRI = 500, 600
OFFICIAL_LIST = "amos_dhc_10p"
GET = (
    f"download {ARCHIVE} from https://zenodo.org/records/{RECORD} and bring it, or its folders imagesTr, labelsTr, "
    "imagesVa and labelsVa (amos_0001.nii.gz ..)"
)


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder, CT and MRI; UserError when there are none or a case lies in two parts."""
    return raw_cases(
        raw,
        lambda path: _case(path) if path.parent.name in IMAGES else None,
        lambda path: _case(path) if path.parent.name in LABELS else None,
        f"holds no images*/amos_*.nii.gz: {GET}",
    )


def read(path: Path) -> "Volume":
    """Scan (HU for CT, grey values for MRI) or label map, as published."""
    from semiseg.data.images import read_nifti

    return read_nifti(path)


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Import ``imagesTr/amos_0001.nii.gz``, ``labelsTr/amos_0001.nii.gz`` and the like; of imagesTs only those wanted.

    Raises UserError when nothing fits, and for files renamed for nnU-Net.
    """
    from semiseg.data.arrival.importing import import_files

    def is_wanted(place: str) -> bool:
        return wanted is None or not place.startswith("imagesTs/") or _case(PurePosixPath(place)) in wanted

    import_files(source, raw, dataset="amos22", place=_place, get=GET, wanted=is_wanted)


def _place(path: PurePosixPath) -> str | None:
    known = _case(path) is not None and path.parent.name in (*IMAGES, *LABELS)
    return f"{path.parent.name}/{path.name}" if known else None


def _case(path: PurePosixPath) -> str | None:
    stem = nifti_stem(path) or ""
    if CONVERTED.fullmatch(stem):
        raise UserError(f"{path} has been renamed for nnU-Net, expected amos_0001.nii.gz as published: {GET}")
    return stem if NAME.fullmatch(stem) else None


def modality_of(case: str) -> str:
    """Modality of a case from its number: 501..600 are MRI, those of the unlabelled archives (5000 and above) CT."""
    return "MRI" if LAST_CT < int(case[-4:]) <= LAST_MRI else "CT"


def remote(fetch_json: FetchJson) -> Sequence[RemoteFile]:
    """The archive with all parts as Zenodo lists it now; further files of the record are not needed."""
    return [zenodo_file(fetch_json, RECORD, ARCHIVE)]


def _parts() -> tuple[Part, ...]:
    names = read_list(OFFICIAL_LIST)
    training, validation = sorted([*names["labelled"], *names["unlabelled"], *names["val"]]), sorted(names["test"])
    numbered = (f"amos_{number:04d}" for number in range(1, LAST_MRI + 1))
    test = sorted(set(numbered) - {*training, *validation})
    return (
        Part("training", tuple(training), labelled=True, open=True),
        Part("validation", tuple(validation), labelled=True, open=True),
        Part("test", tuple(test), labelled=False, open=True, on_demand=True),
    )


DATASET = Dataset(
    name="amos22",
    title="AMOS22: multi-modality abdominal multi-organ segmentation",
    modality="CT and MRI",
    typical=Grid((512, 512, 90), (0.78, 0.78, 5.0)),
    organs=(
        Organ(1, "spleen", "Spl"),
        Organ(2, "right kidney", "R.kid"),
        Organ(3, "left kidney", "L.kid"),
        Organ(4, "gallbladder", "Gal"),
        Organ(5, "oesophagus", "Eso"),
        Organ(6, "liver", "Liv"),
        Organ(7, "stomach", "Sto"),
        Organ(8, "aorta", "Aor"),
        Organ(9, "inferior vena cava", "IVC"),
        Organ(10, "pancreas", "Pan"),
        Organ(11, "right adrenal gland", "RAG"),
        Organ(12, "left adrenal gland", "LAG"),
        Organ(13, "duodenum", "Duo"),
        Organ(14, "bladder", "Bla"),
        Organ(15, "prostate or uterus", "Pro"),
    ),
    licence="CC BY 4.0 (Zenodo record); a dataset.json in circulation states CC BY-SA 4.0 and the paper's review page "
    "CC BY-NC: the sources disagree",
    citation="Ji et al., AMOS: a large-scale abdominal multi-organ benchmark for versatile medical image segmentation, "
    "NeurIPS Datasets and Benchmarks 2022, doi:10.5281/zenodo.7262581",
    source="https://amos22.grand-challenge.org",
    how_to_get=GET,
    find=find,
    read_image=read,
    read_label=read,
    parts=_parts(),
    layout="amos22.zip (about 24 GB) with amos22/dataset.json, imagesTr/amos_0001.nii.gz with "
    "labelsTr/amos_0001.nii.gz (240), imagesVa and labelsVa (120), imagesTs (240, no labels). NIfTI, (192, 60, 64) .. "
    "(768, 768, 512) voxels, about 0.78 x 0.78 x 5 mm; labels uint16",
    notes=(
        "CT and MRI are mixed: training 200 CT and 40 MRI, validation 100 CT and 20 MRI. The DHC protocol trains and "
        "tests on both; GuidedNet takes the 300 CT alone, with a division of its own.",
        "The id gives the modality: 1..500 CT, 501..600 MRI. The archive's readme puts CT below 500, which would not "
        "give its 500 CT; among labelled cases, CT ends at 0410 and MRI begins at 0507, so the rules agree there.",
        "MRI label maps are reported to hold ids 0..13 only: no bladder, no prostate or uterus. Cases lack organs "
        "outside their field of view.",
        "The ids of the 240 scans of imagesTs are inferred: those of 1..600 that the other parts leave (200 CT and 40 "
        "MRI, as published). They have no labels, belong to no list and are left in the archive.",
        "The separate archives of unlabelled CT (ids 5000 and above) are not used; 5514 and 5437 in them are damaged "
        "(neuro-ml/amid).",
        "Images and label maps of different size are reported without a case id (MASILab/3DUX-Net, issue 62); such a "
        "case is refused when it is prepared.",
        "The older Zenodo record 7155725 was not compared with this one.",
        "A public download script expects MD5 67717b2a483ac0744c89c3016b7aaef7 for amos22.zip (not verified); what "
        "Zenodo lists on the day counts.",
    ),
    import_from=import_from,
    remote=remote,
    modality_of=modality_of,
)
