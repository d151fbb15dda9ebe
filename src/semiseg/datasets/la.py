"""2018 Left Atrium segmentation challenge: 100 labelled late gadolinium-enhanced MRI scans.

Two forms of a user's copy are read: the challenge's own folders (``lgemri.nrrd``, ``laendo.nrrd``), and the prepared
``mri_norm2.h5`` that yulequan/UA-MT and others distribute.
"""

import re
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from semiseg.base.errors import UserError
from semiseg.data.raw_files import claimed, paired
from semiseg.data.split_lists import PARTS, read_list
from semiseg.dataset import Dataset, Grid, Organ, Part, RawCase
from semiseg.datasets._labels import remapped

if TYPE_CHECKING:
    from semiseg.base.volume import Volume

PREPARED, IMAGE, LABEL = "mri_norm2.h5", "lgemri.nrrd", "laendo.nrrd"
SPACING_MM = 0.625
NO_PLACE = "the file states neither spacing nor place, 0.625 mm along each axis and an origin of 0 are assumed"
PLACING = re.compile(
    "spac|affine|origin|direction|orient|resolution|pixdim|unit|slope|intercept|scale|offset|element_size"
)
INSIDE = 255  # value of the atrium in laendo.nrrd
OFFICIAL_LIST = "la_uamt_8lab"  # any of the lists: each names all 100 cases
GET = (
    "register at https://www.cardiacatlas.org/atriaseg2018-challenge/atria-seg-data/ and bring the folders with "
    "lgemri.nrrd and laendo.nrrd, or bring the folder with <case>/mri_norm2.h5 that yulequan/UA-MT distributes, "
    "unpacked or as an archive"
)


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder, all in one form; UserError when it is empty or mixes both forms."""
    prepared, scans = _claimed(raw, PREPARED, "file"), _claimed(raw, IMAGE, "image")
    if prepared and scans:
        raise UserError(
            f"{raw} mixes {PREPARED} ({min(prepared)}) and {IMAGE} ({min(scans)}): keep one form, remove the other"
        )
    if not prepared and not scans:
        raise UserError(f"{raw} holds no case of la: {GET}; then run `semiseg import la FOLDER`")
    return paired(prepared, prepared) if prepared else paired(scans, _claimed(raw, LABEL, "label map"))


def _claimed(raw: Path, name: str, what: str) -> dict[str, str]:
    """The files of this name, by the name of the folder in which they lie."""
    return claimed(raw, lambda path: path.parent.name or None if path.name == name else None, what)


def read_image(path: Path) -> "Volume":
    """Scan as distributed: float32 z-scores at 0.625 mm, or the challenge's grey values."""
    return _read_prepared(path, "image") if path.suffix == ".h5" else _read_nrrd(path)


def read_label(path: Path) -> "Volume":
    """Label map with 1 = left atrium; UserError for other values than 0 and 255 (NRRD) or 0 and 1 (HDF5)."""
    if path.suffix == ".h5":
        return remapped(_read_prepared(path, "label"), path, {0: 0, 1: 1})
    return remapped(_read_nrrd(path), path, {0: 0, INSIDE: 1})


def applied(raw: Path) -> frozenset[str]:
    """The prepared form has been normalised on the whole scan and then cropped around its label."""
    return frozenset({"zscore", "crop_label"}) if _claimed(raw, PREPARED, "file") else frozenset()


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Copy each case of a folder (searched in depth) or archive into ``raw``. Cases that are there already are kept.

    Every case is verified beside ``raw`` first. Raises UserError for a copy without cases, a damaged file or a label
    that is not binary. A partial copy is no error.
    """
    from semiseg.base.progress import Progress
    from semiseg.data.arrival.importing import import_files

    raw.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".la-", dir=raw.parent) as folder:
        waiting = Path(folder)
        import_files(source, waiting, dataset="la", place=_place, get=GET)
        cases = sorted({path.parent.name for name in (PREPARED, IMAGE) for path in waiting.glob(f"*/{name}")})
        with Progress("import la", len(cases), "case") as bar:
            for case in cases:
                try:
                    _accept(waiting, case, raw)
                except UserError as error:
                    raise UserError(str(error).replace(folder, str(source))) from None
                bar.step(case=case)


def _place(path: PurePosixPath) -> str | None:
    known = path.name in {PREPARED, IMAGE, LABEL} and path.parent.name
    return f"{path.parent.name}/{path.name}" if known else None


def _accept(waiting: Path, case: str, raw: Path) -> None:
    """Move one case into ``raw`` once it is verified; of both forms the prepared one counts."""
    prepared, scan, label = (waiting / case / name for name in (PREPARED, IMAGE, LABEL))
    if prepared.exists():
        _verify(read_image(prepared), read_label(prepared), prepared)
        _move(prepared, raw / case / PREPARED)
        return
    if label.exists():
        _verify(read_image(scan), read_label(label), scan)
        _move(label, raw / case / LABEL)
    else:
        read_image(scan)
    _move(scan, raw / case / IMAGE)


def _move(path: Path, target: Path) -> None:
    from semiseg.base.files import sha256

    if not target.exists() or sha256(target) != sha256(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _verify(image: "Volume", label: "Volume", path: Path) -> None:
    import numpy as np

    if image.array.shape != label.array.shape:
        raise UserError(
            f"{path}: image {image.array.shape} and label {label.array.shape} differ in shape: fetch it again"
        )
    if not np.isfinite(image.array).all():
        raise UserError(f"{path}: the image has values that are NaN or infinite: fetch it again")
    if not label.array.any():
        raise UserError(f"{path}: the label has no voxel of the atrium: fetch it again")


def _read_prepared(path: Path, name: str) -> "Volume":
    import h5py
    import numpy as np

    from semiseg.base.volume import Volume
    from semiseg.data.images import checked, require

    require(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            stated = [word for one in (file, file[name]) for word in one.attrs] + [*file]
            array = file[name][()]
    except (OSError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read as HDF5 with image and label ({error}): fetch it again") from None
    if placing := sorted({word for word in stated if PLACING.search(word.lower())}):
        raise UserError(
            f"{path} states {', '.join(placing)}, which is not read, because the distributed files state no place: "
            "bring the distributed file or the challenge's NRRD files"
        )
    return checked(Volume(np.asarray(array), np.diag([SPACING_MM] * 3 + [1.0]), (NO_PLACE,)), path)


def _read_nrrd(path: Path) -> "Volume":
    from semiseg.data.nrrd import read_nrrd

    return read_nrrd(path)


def _all_cases() -> tuple[str, ...]:
    published = read_list(OFFICIAL_LIST)
    return tuple(sorted(case for part in PARTS for case in published[part]))


DATASET = Dataset(
    name="la",
    title="LA: 2018 Left Atrium segmentation challenge",
    modality="MRI",
    typical=Grid((576, 576, 88), (0.625, 0.625, 0.625)),
    organs=(Organ(1, "left atrium", "LA"),),
    licence="terms of the challenge: research use, registration (wording not verified)",
    citation="Xiong et al., A global benchmark of algorithms for segmenting the left atrium, MedIA 67 (2021)",
    source="https://www.cardiacatlas.org/atriaseg2018-challenge/atria-seg-data/",
    how_to_get=GET,
    find=find,
    read_image=read_image,
    read_label=read_label,
    parts=(Part("training", _all_cases(), labelled=True),),
    layout="Training Set/<20 letters>/lgemri.nrrd (grey values) and laendo.nrrd (0 and 255), 0.625 mm isotropic, 88 "
    "slices; or, as yulequan/UA-MT distributes them, 2018LA_Seg_Training Set/<20 letters>/mri_norm2.h5 with image "
    "(z-scores) and label, cropped around the atrium",
    notes=(
        "The distributed mri_norm2.h5 are crops around the label, test cases included: numbers on them, which all the "
        "tables use, know where the atrium lies. The margins of the crop were drawn without a seed, so only those "
        "files reproduce the published crops exactly; from the challenge's folders they are drawn from a stated seed.",
        "The z-score was taken over the whole scan before the crop, so a crop's own mean is not 0.",
        "There is no validation part; MC-Net and BCP choose their checkpoint by Dice on the test list.",
        "The challenge has 54 more scans in its Testing Set; no published split of these tables uses them.",
        "One case folder of UA-MT (CMPXO4J23G58J53Q98SZ) holds a stray desktop.ini, which is left out.",
        "0RZDK210BSMWAA6467LU and CMPXO4J23G58J53Q98SZ show the same scan: shifted by 7 voxels in x and y, the crops "
        "agree with a correlation of 0.994 and the labels to the voxel (measured for semiseg). Both are training cases "
        "of the common lists; folds 1 and 3 of MCF have one on each side.",
        "In-plane sizes of the original scans (576 x 576 or 640 x 640) were not verified.",
    ),
    import_from=import_from,
    applied=applied,
)
