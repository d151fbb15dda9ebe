"""BTCV, the abdomen part of "Beyond the Cranial Vault": CT, 13 organs, 30 labelled scans; tables call it Synapse too.

Sources: Project-MONAI/model-zoo, swin_unetr_btcv_segmentation (layout, label ids); openmedlab/Awesome-Medical-Dataset,
resources/BTCV.md (sizes); constantinpape/torch-em, data set multi_organ_abdominal_ct (ids of the scans, the other
labels).
"""

import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from semiseg.base.errors import UserError
from semiseg.data.raw_files import raw_cases
from semiseg.dataset import Dataset, Grid, Organ, Part, RawCase

if TYPE_CHECKING:
    from semiseg.base.volume import Volume

IMAGE, LABEL = re.compile(r"img(\d{4})\.nii(\.gz)?"), re.compile(r"label(\d{4})\.nii(\.gz)?")
SLICED = re.compile(r"case\d{4}(_slice\d{3})?\.(npz|npy\.h5)")
RELABELLED = "_multiorgan"
TRAINING = (*range(1, 11), *range(21, 41))
TEST = range(61, 81)
GET = (
    "register at https://www.synapse.org/#!Synapse:syn3193805/wiki/217789 and bring Abdomen/RawData.zip "
    "(RawData/Training/img/img0001.nii.gz with Training/label/label0001.nii.gz), as it is or unpacked"
)


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder; UserError when there are none."""
    return raw_cases(raw, partial(_case, IMAGE), partial(_case, LABEL), f"holds no img/img*.nii.gz: {GET}")


def _case(kind: re.Pattern[str], path: PurePosixPath) -> str | None:
    name = kind.fullmatch(path.name)
    return None if name is None else f"img{name[1]}"


def read(path: Path) -> "Volume":
    """CT in HU, or label map, as published."""
    from semiseg.data.images import read_nifti

    return read_nifti(path)


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Import ``img/img0001.nii.gz`` and ``label/label0001.nii.gz``; of the unlabelled test scans only those wanted.

    Raises UserError when nothing fits, and for the slices of TransUNet or the label maps of Gibson et al.
    """
    from semiseg.data.arrival.importing import import_files

    test = {f"img{number:04d}" for number in TEST}

    def is_wanted(place: str) -> bool:
        case = _case(IMAGE, PurePosixPath(place))
        return wanted is None or case not in test or case in wanted

    import_files(source, raw, dataset="btcv", place=_place, get=GET, wanted=is_wanted)


def _place(path: PurePosixPath) -> str | None:
    if SLICED.fullmatch(path.name):
        raise UserError(
            f"{path} is of TransUNet's prepared slices (8 organs, window -125..275 HU), expected the scans themselves: "
            f"{GET}"
        )
    if LABEL.fullmatch(path.name):
        if any(RELABELLED in part for part in path.parts[:-1]):
            raise UserError(
                f"{path} is a label map of Gibson et al. (Zenodo 1169361), expected the official ones: take that "
                "folder out of the source"
            )
        return f"label/{path.name}"
    return f"img/{path.name}" if IMAGE.fullmatch(path.name) else None


def case_id(name: str) -> str:
    """``0007``, ``img0007.nii.gz``, ``label0007`` and TransUNet's ``case0007`` are ``img0007``."""
    number = re.search(r"\d{4}", name)
    return name if number is None else f"img{number[0]}"


DATASET = Dataset(
    name="btcv",
    title="BTCV: multi-atlas labelling beyond the cranial vault, abdomen (Synapse)",
    modality="CT",
    typical=Grid((512, 512, 130), (0.76, 0.76, 3.0)),
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
        Organ(10, "portal and splenic veins", "PSV"),
        Organ(11, "pancreas", "Pan"),
        Organ(12, "right adrenal gland", "RAG"),
        Organ(13, "left adrenal gland", "LAG"),
    ),
    licence="Synapse terms of use, registration (wording not verified)",
    citation="Landman et al., MICCAI multi-atlas labeling beyond the cranial vault: workshop and challenge (2015), "
    "doi:10.7303/syn3193805",
    source="https://www.synapse.org/#!Synapse:syn3193805",
    how_to_get=GET,
    find=find,
    read_image=read,
    read_label=read,
    parts=(
        Part("training", tuple(f"img{number:04d}" for number in TRAINING), labelled=True),
        Part("test", tuple(f"img{number:04d}" for number in TEST), labelled=False, on_demand=True),
    ),
    layout="RawData.zip with RawData/Training/img/img0001.nii.gz .. 0010 and 0021 .. 0040, "
    "RawData/Training/label/label0001.nii.gz .., RawData/Testing/img/img0061.nii.gz .. 0080 without labels. NIfTI, 512 "
    "x 512 x 85..198, about 0.76 x 0.76 x 3 mm",
    notes=(
        "Papers call these 30 labelled scans Synapse or BTCV; some divide them 18/12, others 20/4/6. DHC tests on 0008 "
        "0027 0029 0033 0037 0039, MagicNet on the last 12 of its btcv.txt: their numbers cannot be compared.",
        "Another set goes by the same name: Gibson et al. (Zenodo 1169361) labelled BTCV and Pancreas-CT scans anew, "
        "with the same file names and the duodenum as id 14. Their folders are refused by name, their label maps by id "
        "14 when they are prepared.",
        "TransUNet distributes slices of these scans with 8 organs; public code confuses its label order "
        "(SLDGroup/CASCADE, issue 9). They are refused.",
        "Id 13 is the left adrenal gland here and the left kidney in FLARE22; there is no duodenum.",
        "The gallbladder is present in 28 of the 30 labelled scans.",
        "qform and sform disagree in some files as public users report; nibabel reads the sform. No checksums are "
        "published.",
    ),
    import_from=import_from,
    case_id=case_id,
)
