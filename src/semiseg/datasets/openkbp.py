"""OpenKBP: planning CT of 340 head-and-neck patients with seven organs; the example of docs/add-a-dataset.md.

Format (ababier/open-kbp: provided_code/utils.py, data_shapes.py): a folder of CSV files per patient. They hold flat
indices into a 128 x 128 x 128 array; ct.csv has a value beside each. Not stated there but measured on 40 patients:

- The axes run towards posterior, left and inferior: mandible before cord, right parotid before left, brainstem first.
- The third spacing belongs to the third axis: a head is then 202 x 159 mm and a brainstem 60 mm tall. In other orders
  they would be 120 x 159 mm, or 202 x 94 mm and 99 mm.
- HU = stored - 1000: brain then has 36 HU, and most scans without metal end at 2976 or 3071 HU. The value 0, which is
  not stored, is air or outside.
"""

from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.parallel import each
from semiseg.base.volume import Array, Volume
from semiseg.data.images import checked, read_nifti, write_nifti
from semiseg.data.raw_files import claimed, nifti_stem, raw_cases
from semiseg.dataset import Dataset, Grid, Organ, Part, RawCase

GET = "run `git clone https://github.com/ababier/open-kbp` and bring its folder provided-data"
PARTS = {"train": range(1, 201), "validation": range(201, 241), "test": range(241, 341)}
ORGANS = {  # by the name of its file
    "Brainstem": Organ(1, "brainstem", "BS"),
    "SpinalCord": Organ(2, "spinal cord", "SC"),
    "RightParotid": Organ(3, "right parotid gland", "R.par"),
    "LeftParotid": Organ(4, "left parotid gland", "L.par"),
    "Esophagus": Organ(5, "oesophagus", "Eso"),
    "Larynx": Organ(6, "larynx", "Lar"),
    "Mandible": Organ(7, "mandible", "Man"),
}


def case_id(name: str) -> str:
    """``pt_201`` or ``validation_pt_201`` -> ``validation_pt_201``: the numbers run on from part to part."""
    number = name.rpartition("_")[2]
    for part, numbers in PARTS.items():
        if number.isdecimal() and int(number) in numbers:
            return f"{part}_pt_{int(number)}"
    raise UserError(f"{name} is no patient of openkbp (pt_1 to pt_340): rename or remove it")


def find(raw: Path) -> list[RawCase]:
    """Cases of ``images/<case>.nii.gz`` with ``labels/<case>.nii.gz``; UserError when there are none."""
    return raw_cases(
        raw,
        partial(_case, "images"),
        partial(_case, "labels"),
        f"holds no case of openkbp: {GET}; then run `semiseg import openkbp FOLDER`",
    )


def _case(folder: str, path: PurePosixPath) -> str | None:
    return nifti_stem(path) if path.parent.name == folder else None


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Write the wanted patients below ``source`` as NIfTI files.

    Raises UserError if there is none, or one is damaged or lies there twice.
    """
    patients = {case: (source / csv).parent for case, csv in claimed(source, _patient, "ct.csv file").items()}
    if not patients:
        raise UserError(f"{source} holds no patient of openkbp (pt_*/ct.csv): {GET}")
    chosen = [(case, path) for case, path in patients.items() if wanted is None or case in wanted]
    each(partial(_convert, raw), chosen, 1, "import openkbp")


def _patient(path: PurePosixPath) -> str | None:
    folder = path.parent.name
    return case_id(folder) if path.name == "ct.csv" and folder.startswith("pt_") else None


def _convert(raw: Path, patient: tuple[str, Path]) -> None:
    case, path = patient
    try:
        stored, label, (down, left, low) = _read(path)
        corners = np.argwhere((stored > 0) | (label > 0))  # their box is a third of the array; the rest is empty
        box = tuple(map(slice, corners.min(0), corners.max(0) + 1))
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} cannot be read as a patient of openkbp ({error}): fetch it again") from None
    hu = np.clip(stored.astype(np.int32) - 1000, -1000, np.iinfo(np.int16).max).astype(np.int16)
    affine = np.array([[0, -left, 0, 0], [-down, 0, 0, 0], [0, 0, -low, 0], [0, 0, 0, 1]], np.float64)
    affine[:, 3] = affine @ [*corners.min(0), 1]
    for folder, array in (("labels", label), ("images", hu)):  # the image comes last, because find() looks for images
        write_nifti(raw / folder / f"{case}.nii.gz", checked(Volume(array[box], affine), path))


def _read(path: Path) -> tuple[Array, Array, Array]:
    """Stored values, label map and spacing (mm) of a patient. Where organs overlap, the larger id counts."""
    image, label = np.zeros((128, 128, 128), np.int32), np.zeros((128, 128, 128), np.uint8)
    where, values = np.loadtxt(path / "ct.csv", delimiter=",", skiprows=1, unpack=True, ndmin=2)
    image.flat[where.astype(np.int64)] = values
    for name, organ in ORGANS.items():
        if (mask := path / f"{name}.csv").exists():
            label.flat[np.loadtxt(mask, delimiter=",", skiprows=1, usecols=0, dtype=np.int64)] = organ.id
    return image, label, np.loadtxt(path / "voxel_dimensions.csv")


DATASET = Dataset(
    name="openkbp",
    title="OpenKBP: CT of head-and-neck patients with seven organs",
    modality="CT",
    typical=Grid((128, 128, 128), (4.7, 4.7, 2.5)),
    organs=tuple(ORGANS.values()),
    licence="MIT (the repository)",
    citation="Babier et al., OpenKBP: the open-access knowledge-based planning grand challenge, Med. Phys. 48 (2021)",
    source="https://github.com/ababier/open-kbp",
    how_to_get=GET,
    find=find,
    read_image=read_nifti,
    read_label=read_nifti,
    import_from=import_from,
    parts=[Part(name, [f"{name}_pt_{n}" for n in numbers], True, on_demand=True) for name, numbers in PARTS.items()],
    case_id=case_id,
    layout="provided-data/{train,validation,test}-pats/pt_*/ with ct.csv, voxel_dimensions.csv and one mask per organ",
    notes=(
        "Only 63 patients (36 train, 7 validation, 20 test) have all organs; one without a file counts as absent.",
        "Of the 40 cases of openkbp_small, 4 have metal (up to 27036 HU) and 39 overlaps of organs (1 to 19 voxels).",
    ),
)
