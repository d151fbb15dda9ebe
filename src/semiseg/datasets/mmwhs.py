"""MM-WHS 2017: whole-heart CT and MRI with seven structures, 20 labelled scans of each modality.

Label values: http://www.zmic.org.cn/care_2024/track5/ (same group, same values); layout: openmedlab/
Awesome-Medical-Dataset, resources/MM-WHS.md. Values 820 and 850 are swapped in at least one public loader.
"""

import logging
import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from semiseg.data.raw_files import nifti_stem, raw_cases
from semiseg.dataset import Dataset, Grid, Organ, Part, RawCase
from semiseg.datasets._labels import remapped

if TYPE_CHECKING:
    from semiseg.base.volume import Volume

logger = logging.getLogger(__name__)

STORED = (205, 420, 500, 550, 600, 820, 850)
STRAY = 421
NAME = re.compile(r"((?:ct|mr)_(?:train|test))_\d{4}_(?:image|label)\.nii(?:\.gz)?")
IMAGE, LABEL = "_image", "_label"
GET = (
    "register for MM-WHS 2017 at https://zmiclab.github.io/zxh/0/mmwhs/ and bring its folders ct_train and mr_train "
    "(ct_train_1001_image.nii.gz with ct_train_1001_label.nii.gz, and so on), unpacked or as archives"
)


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder, CT and MRI; UserError when there are none."""
    return raw_cases(raw, partial(_case, IMAGE), partial(_case, LABEL), f"holds no *{IMAGE}.nii.gz: {GET}")


def _case(ending: str, path: PurePosixPath) -> str | None:
    stem = nifti_stem(path) or ""
    return stem.removesuffix(ending) if stem.endswith(ending) else None


def read_image(path: Path) -> "Volume":
    """Scan as published: HU for CT, grey values for MRI."""
    from semiseg.data.images import read_nifti

    return read_nifti(path)


def read_label(path: Path) -> "Volume":
    """Label map with ids 1..7. The stray value 421 becomes background with a message; other values are refused."""
    from semiseg.data.images import read_nifti
    from semiseg.data.labels import whole

    volume = whole(read_nifti(path), path)
    if count := int((volume.array == STRAY).sum()):
        case = _case(LABEL, PurePosixPath(path))
        logger.info(f"mmwhs: case {case}: {count} voxels of the stray label value {STRAY} are read as background")
    organs = {stored: organ.id for stored, organ in zip(STORED, DATASET.organs, strict=True)}
    return remapped(volume, path, {0: 0, STRAY: 0, **organs})


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Import ``ct_train/ct_train_1001_image.nii.gz`` and the like from a folder or archive; UserError if none is."""
    from semiseg.data.arrival.importing import import_files

    def place(path: PurePosixPath) -> str | None:
        name = NAME.fullmatch(path.name)
        return None if name is None else f"{name[1]}/{path.name}"

    def is_wanted(place: str) -> bool:
        return wanted is None or "_test/" not in place or _case(IMAGE, PurePosixPath(place)) in wanted

    import_files(source, raw, dataset="mmwhs", place=place, get=GET, wanted=is_wanted)


def modality_of(case: str) -> str:
    """Modality of a case, from the first letters of its name."""
    return "CT" if case.startswith("ct_") else "MRI"


def _part(name: str, first: int, count: int, labelled: bool) -> Part:
    cases = tuple(f"{name}_{number}" for number in range(first, first + count))
    return Part(name, cases, labelled, on_demand=not labelled)


DATASET = Dataset(
    name="mmwhs",
    title="MM-WHS 2017: multi-modality whole heart segmentation",
    modality="CT and MRI",
    typical=Grid((512, 512, 270), (0.44, 0.44, 0.625)),
    organs=(
        Organ(1, "myocardium of the left ventricle", "MYO"),
        Organ(2, "left atrium", "LA"),
        Organ(3, "left ventricle", "LV"),
        Organ(4, "right atrium", "RA"),
        Organ(5, "right ventricle", "RV"),
        Organ(6, "ascending aorta", "AA"),
        Organ(7, "pulmonary artery", "PA"),
    ),
    licence="agreement on registration, research use (wording not verified)",
    citation="Zhuang and Shen, Multi-scale patch and multi-modality atlases for whole heart segmentation of MRI, "
    "MedIA 31 (2016); Zhuang et al., Evaluation of algorithms for multi-modality whole heart segmentation, MedIA 58 "
    "(2019)",
    source="https://zmiclab.github.io/zxh/0/mmwhs/",
    how_to_get=GET,
    find=find,
    read_image=read_image,
    read_label=read_label,
    parts=(
        _part("ct_train", 1001, 20, True),
        _part("mr_train", 1001, 20, True),
        _part("ct_test", 2001, 40, False),
        _part("mr_test", 2001, 40, False),
    ),
    layout="ct_train/ct_train_1001_image.nii.gz with ct_train_1001_label.nii.gz .. 1020, mr_train/ likewise; "
    "ct_test/ct_test_2001_image.nii.gz .. 2040 and mr_test/ without labels. NIfTI; CT about 0.44 x 0.44 x 0.625 mm, "
    "MRI about 0.97 x 0.97 x 1.05 mm",
    notes=(
        "Stored label values 205, 420, 500, 550, 600, 820, 850 become ids 1..7 in this order. At least one public "
        "loader swaps 820 (ascending aorta) and 850 (pulmonary artery).",
        "The stray label value 421 occurs in an MRI label map, reported by several public loaders but by no official "
        "page. It is read as background here, with a message that gives case and voxel count; some loaders count it "
        "as left atrium (420).",
        "mr_train_1002 has stray label voxels near the edge of the volume. xmed-lab/GenericSSL blanks planes 0..3 of "
        "the first axis, -10..-2 of the second and 0..3 of the third after reorienting to RAI; here the labels are "
        "left as published.",
        "Axes run in different directions from scan to scan: a preparation must reorient.",
        "CT and MRI are of different patients. Tables of this collection use the scans of ct_train and mr_train; those "
        "of ct_test and mr_test have no labels.",
        "Names and sizes of the archives, and the ids 2002..2040 of the test scans, were not verified.",
    ),
    import_from=import_from,
    modality_of=modality_of,
)
