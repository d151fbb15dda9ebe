"""BraTS 2019: 335 multi-sequence brain MRI scans with glioma, used as FLAIR with the whole tumour.

Labels: https://www.med.upenn.edu/cbica/brats2019/tasks.html. One class and FLAIR alone, as HiLab-git/SSL4MIS:
data/BraTS2019 prepares it. Case names: its lists, which hold all 335 cases.
"""

import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from semiseg.data.raw_files import raw_cases
from semiseg.data.split_lists import PARTS, read_list
from semiseg.dataset import Dataset, Grid, Organ, Part, RawCase
from semiseg.datasets._labels import remapped

if TYPE_CHECKING:
    from semiseg.base.volume import Volume

CASE = r"BraTS19_[A-Za-z0-9]+_[A-Za-z0-9]+_\d+"
NAME = re.compile(rf"({CASE})_(flair|seg)\.nii(\.gz)?")
GRADES = ("HGG", "LGG")
WHOLE_TUMOUR = {0: 0, 1: 1, 2: 1, 4: 1}
GET = (
    "register at https://www.med.upenn.edu/cbica/brats2019/ and bring MICCAI_BraTS_2019_Data_Training with its folders "
    "HGG and LGG (BraTS19_*_flair.nii.gz with BraTS19_*_seg.nii.gz, or .nii), unpacked or as an archive"
)


def find(raw: Path) -> list[RawCase]:
    """Cases of HGG and LGG; UserError when there are none or a case lies there twice."""
    return raw_cases(raw, partial(_case, "flair"), partial(_case, "seg"), f"holds no BraTS19_*_flair.nii.gz: {GET}")


def _case(kind: str, path: PurePosixPath) -> str | None:
    name = NAME.fullmatch(path.name)
    return name[1] if name is not None and name[2] == kind else None


def read_image(path: Path) -> "Volume":
    """FLAIR as published: grey values, zeros outside the brain."""
    from semiseg.data.images import read_nifti

    return read_nifti(path)


def read_label(path: Path) -> "Volume":
    """Label map with 1 = whole tumour, from the stored 1, 2 and 4; label 3 is of earlier years and is refused."""
    from semiseg.data.images import read_nifti

    hint = "label 3 belongs to BraTS 2013 to 2015, whose cases must not be mixed in; fetch the BraTS 2019 file again"
    return remapped(read_nifti(path), path, WHOLE_TUMOUR, hint)


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Import FLAIR and label map of every case below its grade's folder; UserError when there are none."""
    from semiseg.data.arrival.importing import import_files

    def place(path: PurePosixPath) -> str | None:
        name = NAME.fullmatch(path.name)
        if name is None:
            return None
        grade = next((part for part in path.parts if part in GRADES), "grade_unknown")
        return f"{grade}/{name[1]}/{path.name}"

    import_files(source, raw, dataset="brats19", place=place, get=GET)


def _all_cases() -> tuple[str, ...]:
    published = read_list("brats19_ssl4mis_25lab")
    return tuple(sorted(case for part in PARTS for case in published[part]))


DATASET = Dataset(
    name="brats19",
    title="BraTS 2019: brain tumour segmentation",
    modality="MRI",
    typical=Grid((240, 240, 155), (1.0, 1.0, 1.0)),
    organs=(Organ(1, "whole tumour", "WT"),),
    licence="terms of the challenge on registration, research use (wording not verified)",
    citation="Menze et al., The multimodal brain tumor image segmentation benchmark (BRATS), IEEE TMI 34 (2015); Bakas "
    "et al., Advancing The Cancer Genome Atlas glioma MRI collections, Scientific Data 4 (2017)",
    source="https://www.med.upenn.edu/cbica/brats2019/",
    how_to_get=GET,
    find=find,
    read_image=read_image,
    read_label=read_label,
    parts=(Part("training", _all_cases(), labelled=True),),
    layout="MICCAI_BraTS_2019_Data_Training/HGG/<case>/ and LGG/<case>/ with <case>_flair, _t1, _t1ce, _t2 and _seg as "
    ".nii.gz or .nii: 240 x 240 x 155 voxels of 1 mm, co-registered and skull-stripped. Only _flair and _seg are used",
    notes=(
        "Stored labels 1 (necrotic and non-enhancing core), 2 (oedema) and 4 (enhancing tumour) become one class, the "
        "whole tumour. Label 3 is not used in 2019; it occurs in BraTS 2013 to 2015 and is refused.",
        "The case list is that of SSL4MIS, 250 + 25 + 60 names, which are the 335 published cases; the usual division "
        "into 259 HGG and 76 LGG was not verified.",
        "Some copies hold .nii, others .nii.gz: both are read, but one case in both forms is refused.",
        "Zeros outside the brain are no measurement: statistics of the published preparations leave them out.",
        "SSL4MIS crops to the brain, not to the tumour, so its volumes do not use the label of test cases.",
    ),
    import_from=import_from,
)
