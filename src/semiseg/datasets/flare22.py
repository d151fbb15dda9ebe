"""FLARE22: abdominal CT, 13 organs, 50 labelled scans and 2,000 unlabelled ones.

Sources: flare22.grand-challenge.org/Dataset; openmedlab/Awesome-Medical-Dataset, resources/FLARE2022.md (layout,
sizes); bowang-lab/U-Mamba, data/nnUNet_raw/Dataset701_AbdomenCT/dataset.json (label ids); constantinpape/torch-em, data
set flare (Zenodo record, label ids looked up in the data).
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from semiseg.base.errors import UserError
from semiseg.data.arrival.zenodo import zenodo_file
from semiseg.data.organs import ORGANS
from semiseg.data.raw_files import nifti_stem, raw_cases
from semiseg.dataset import Dataset, FetchJson, Grid, Part, RawCase, RemoteFile

if TYPE_CHECKING:
    from semiseg.base.volume import Volume

IMAGE_ENDING = "_0000"
NAME = re.compile(r"(FLARE22_Tr_\d{4}|FLARETs_\d{4}|Case_\d{5})(_0000)?\.nii(\.gz)?")
UNLABELLED = "Case_"
RENAMED, RENAMED_FOLDER = re.compile(r"train_\d{3,5}(_0000)?\.nii(\.gz)?"), "guidednet"  # names in GuidedNet's lists
OTHERS = {
    "FLARE23": re.compile(r"FLARE23\w*\.nii(\.gz)?"),
    "FLARE21": re.compile(r"(train|validation|test)_\d{3}(_0000)?\.nii(\.gz)?"),
    "AbdomenCT-1K (FLARE22 has no label maps of its Case_* scans, AbdomenCT-1K uses the same names)": re.compile(
        r"Case_\d{5}\.nii(\.gz)?"
    ),
}
RECORD, ARCHIVE = 7860267, "FLARE22Train.zip"
GET = (
    f"the 50 labelled scans are open ({ARCHIVE} at https://zenodo.org/records/{RECORD}); for the others join the "
    "challenge at https://flare22.grand-challenge.org and bring its folders Training (unlabelled Case_*_0000.nii.gz) "
    "and Tuning (FLARETs_*_0000.nii.gz with FLARETs_*.nii.gz)"
)


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder, wherever their files lie in it.

    Raises UserError when there are none, when a case is there twice or a file belongs to another data set.
    """
    return raw_cases(raw, _image_case, _label_case, f"holds no *{IMAGE_ENDING}.nii.gz: {GET}")


def _image_case(path: PurePosixPath) -> str | None:
    _refuse_others(path.name, path)
    stem = nifti_stem(path) or ""
    return stem.removesuffix(IMAGE_ENDING) if stem.endswith(IMAGE_ENDING) else None


def _label_case(path: PurePosixPath) -> str | None:
    return nifti_stem(path) if _image_case(path) is None else None


def read(path: Path) -> "Volume":
    """CT in HU, or label map with the ids of ``ORGANS``, as published."""
    from semiseg.data.images import read_nifti

    return read_nifti(path)


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Import ``images/FLARE22_Tr_0001_0000.nii.gz`` and the like; of the unlabelled scans only those wanted.

    Raises UserError when nothing fits or the source holds files of another data set with similar names.
    """
    from semiseg.data.arrival.importing import import_files

    def is_wanted(place: str) -> bool:
        case = _image_case(PurePosixPath(place))
        return wanted is None or case is None or not case.startswith(UNLABELLED) or case in wanted

    import_files(source, raw, dataset="flare22", place=_place, get=GET, wanted=is_wanted)


def _place(path: PurePosixPath) -> str | None:
    folder = "labels" if _image_case(path) is None else "images"
    if _is_renamed(path):
        return f"{RENAMED_FOLDER}/{folder}/{path.name}"
    return None if NAME.fullmatch(path.name) is None else f"{folder}/{path.name}"


def _is_renamed(path: Path | PurePosixPath) -> bool:
    """Whether a file with a name as in FLARE21 lies in a folder ``guidednet``, which marks it as one of GuidedNet's."""
    return RENAMED_FOLDER in path.parts and RENAMED.fullmatch(path.name) is not None


def _refuse_others(name: str, path: Path | PurePosixPath) -> None:
    for other, pattern in OTHERS.items():
        if not _is_renamed(path) and pattern.fullmatch(name):
            raise UserError(
                f"{path} is a file of {other}, expected files of FLARE22 only: label ids or scans differ; {GET}"
            )


def remote(fetch_json: FetchJson) -> Sequence[RemoteFile]:
    """The archive of the labelled scans as Zenodo lists it now."""
    return [zenodo_file(fetch_json, RECORD, ARCHIVE)]


DATASET = Dataset(
    name="flare22",
    title="FLARE22: fast and low-resource abdominal organ segmentation",
    modality="CT",
    typical=Grid((512, 512, 95), (0.74, 0.74, 2.5)),
    organs=ORGANS,
    licence="labelled part: CC BY 4.0 or CC BY-NC-SA 4.0, public readers of the Zenodo record disagree; unlabelled and "
    "tuning parts: terms of the challenge (wording not verified)",
    citation="Ma et al., Unleashing the strengths of unlabelled data in deep learning-assisted pan-cancer abdominal "
    "organ quantification: the FLARE22 challenge, The Lancet Digital Health 6 (2024)",
    source="https://flare22.grand-challenge.org",
    how_to_get=GET,
    find=find,
    read_image=read,
    read_label=read,
    parts=(
        Part("labelled", tuple(f"FLARE22_Tr_{number:04d}" for number in range(1, 51)), labelled=True, open=True),
        Part("unlabelled", tuple(f"Case_{number:05d}" for number in range(1, 2001)), labelled=False, on_demand=True),
        Part("tuning", tuple(f"FLARETs_{number:04d}" for number in range(1, 51)), labelled=True),
    ),
    layout="FLARE22Train/images/FLARE22_Tr_0001_0000.nii.gz .. 0050 with labels/FLARE22_Tr_0001.nii.gz; "
    "Training/FLARE22_UnlabeledCase1-1000/Case_00001_0000.nii.gz .. and FLARE22_UnlabeledCase1001-2000/; "
    "Tuning/images/FLARETs_0001_0000.nii.gz .. 0050 with labels/FLARETs_0001.nii.gz. NIfTI, 512 x 512 x 71..113, about "
    "0.74 x 0.74 x 2.5 mm (labelled part)",
    notes=(
        "Label ids are those of the files; the challenge's text lists the organs in another order.",
        "GuidedNet's names (train_000 .., train_0070 ..) are not official ones and no mapping is published, so its "
        "lists cannot be formed from the official files. They count 70 labelled scans, the challenge published 50 (the "
        "other 20 may be of the tuning set; not verified).",
        "FLARE21 has names like train_000_0000.nii.gz too, with four organs and one id for both kidneys: such files "
        "are refused. Who has the authors' files puts them into a folder called guidednet.",
        "AbdomenCT-1K names its scans Case_00001_0000.nii.gz as FLARE22 names its unlabelled ones. Label maps of these "
        "names are refused; scans alone cannot be distinguished by name.",
        "The labelled scans are of the MSD Pancreas collection, so FLARE22, AbdomenCT-1K and MSD share patients.",
        "The label maps of the tuning set came out after the challenge; the 200 hidden test scans were not published.",
        "The publisher's page gives no checksum; Zenodo lists an MD5 sum. torch-em recorded SHA-256 "
        "d57e201dc9002bd4a6fc1f5e0d4525285f46bcc5be1a3c8f12543151e6675154 for FLARE22Train.zip.",
        "Orientations and label data types of the files were not verified. The whole collection is about 247 GB.",
    ),
    import_from=import_from,
    remote=remote,
)
