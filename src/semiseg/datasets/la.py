"""2018 Left Atrium segmentation challenge: 100 labelled late gadolinium-enhanced MRI scans.

Three forms of a user's copy are read: the challenge's own folders (``lgemri.nrrd``, ``laendo.nrrd``), the prepared
``mri_norm2.h5`` that yulequan/UA-MT and others distribute, and a packed form of the latter (``cases/<case>.npz``).
"""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.dataset import Dataset, Organ, RawCase
from semiseg.errors import UserError

if TYPE_CHECKING:
    from semiseg.geometry import Affine
    from semiseg.volume import Volume

PREPARED, IMAGE, LABEL = "mri_norm2.h5", "lgemri.nrrd", "laendo.nrrd"
SPACING_MM = 0.625
INSIDE = 255  # value of the atrium in laendo.nrrd
OFFICIAL_LIST = "la_uamt_8lab"  # any of the lists: each names all 100 cases
GET = (
    "register at https://www.cardiacatlas.org/atriaseg2018-challenge/atria-seg-data/ and bring the folders with "
    "lgemri.nrrd and laendo.nrrd, or bring the folder with <case>/mri_norm2.h5 that yulequan/UA-MT distributes"
)


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder, all in one form; UserError when it is empty or mixes both forms."""
    prepared = sorted(path.parent.name for path in raw.glob(f"*/{PREPARED}"))
    scans = sorted(path.parent.name for path in raw.glob(f"*/{IMAGE}"))
    if prepared and scans:
        raise UserError(
            f"{raw} mixes {PREPARED} ({prepared[0]}) and {IMAGE} ({scans[0]}): keep one form, remove the other"
        )
    if not prepared and not scans:
        raise UserError(f"{raw} holds no case of la: {GET}; then run `semiseg import la FOLDER`")
    if prepared:
        return [RawCase(case, f"{case}/{PREPARED}", f"{case}/{PREPARED}") for case in prepared]
    with_label = {case: f"{case}/{LABEL}" if (raw / case / LABEL).exists() else None for case in scans}
    return [RawCase(case, f"{case}/{IMAGE}", label) for case, label in with_label.items()]


def read_image(path: Path) -> "Volume":
    """Scan as distributed: float32 z-scores at 0.625 mm, or the challenge's grey values."""
    return _read_prepared(path, "image") if path.suffix == ".h5" else _read_nrrd(path)


def read_label(path: Path) -> "Volume":
    """Label map with 1 = left atrium; other values than the challenge's 0 and 255 are passed on for refusal."""
    import numpy as np

    from semiseg.volume import Volume

    if path.suffix == ".h5":
        return _read_prepared(path, "label")
    volume = _read_nrrd(path)
    odd_one = volume.array == 1  # would otherwise pass for the atrium
    return Volume(np.where(volume.array == INSIDE, 1, np.where(odd_one, INSIDE, volume.array)), volume.affine)


def applied(raw: Path) -> frozenset[str]:
    """The prepared form has been normalised on the whole scan and then cropped around its label."""
    return frozenset({"zscore", "crop_label"}) if any(raw.glob(f"*/{PREPARED}")) else frozenset()


def import_from(source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    """Verify each case of ``source`` (searched in depth) and bring it into ``raw``; cases already right are kept.

    Raises UserError for an empty folder, a damaged file or a label that is not binary. A partial copy is only told.
    """
    from semiseg.progress import Progress, say

    found = dict(_found(source))
    if not found:
        raise UserError(f"{source} holds no case of la (no {PREPARED}, {IMAGE} or cases/*.npz): {GET}")
    with Progress("import la", len(found), "case") as bar:
        for case, (bring, path) in found.items():
            bring(path, raw / case)
            bar.step(case=case)
    for line in _differences(set(found)):
        say(f"import la: {line}")


def _found(source: Path) -> Iterator[tuple[str, tuple[Callable[[Path, Path], None], Path]]]:
    """Case -> how to bring it and from where; of several forms the first found counts."""
    seen: set[str] = set()
    for pattern, bring in ((PREPARED, _bring_prepared), (IMAGE, _bring_scan), ("*.npz", _bring_packed)):
        for path in sorted(source.rglob(pattern)):
            case = path.stem if pattern == "*.npz" else path.parent.name
            if case not in seen:
                seen.add(case)
                yield case, (bring, path)


def _differences(found: set[str]) -> Iterator[str]:
    """What a copy lacks, or has beyond, the 100 cases of the official lists."""
    from semiseg.splits import PARTS, read_list

    official = {case for part in PARTS for case in read_list(OFFICIAL_LIST)[part]}
    if missing := sorted(official - found):
        yield f"a partial copy, {len(missing)} of {len(official)} cases are missing: {', '.join(missing)}"
    if others := sorted(found - official):
        yield f"{len(others)} cases are in no published split: {', '.join(others)}"


def _bring_prepared(path: Path, folder: Path) -> None:
    _verify(read_image(path), read_label(path), path)
    _copy(path, folder / PREPARED)


def _bring_scan(path: Path, folder: Path) -> None:
    label = path.with_name(LABEL)
    if label.exists():
        _verify(read_image(path), read_label(label), path)
        _copy(label, folder / LABEL)
    else:
        read_image(path)
    _copy(path, folder / IMAGE)


def _bring_packed(path: Path, folder: Path) -> None:
    """Unpack into the distributed form; the packed file's hash, kept inside, tells a later call that it is done."""
    import h5py

    from semiseg.datasets._packed import read_packed
    from semiseg.files import atomic, sha256
    from semiseg.volume import Volume

    target, digest = folder / PREPARED, sha256(path)
    if _unpacked_from(target) == digest:
        return
    image, label = read_packed(path)
    _verify(Volume(image, _affine()), Volume(label, _affine()), path)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("image", data=image, compression="gzip", compression_opts=1, shuffle=True)
        file.create_dataset("label", data=label, compression="gzip", compression_opts=1)
        file.attrs["packed_sha256"] = digest
    with atomic(target) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _unpacked_from(target: Path) -> str | None:
    import h5py

    try:
        with h5py.File(target, "r", locking=False) as file:
            return str(file.attrs.get("packed_sha256"))
    except OSError:  # not there, or not whole
        return None


def _copy(path: Path, target: Path) -> None:
    from semiseg.files import atomic, sha256

    if target.exists() and sha256(target) == sha256(path):
        return
    with atomic(target) as temporary:
        shutil.copyfile(path, temporary)


def _verify(image: "Volume", label: "Volume", path: Path) -> None:
    import numpy as np

    if image.array.shape != label.array.shape:
        raise UserError(
            f"{path}: image {image.array.shape} and label {label.array.shape} differ in shape: fetch it again"
        )
    if not np.isfinite(image.array).all():
        raise UserError(f"{path}: the image has values that are NaN or infinite: fetch it again")
    values = np.unique(label.array)
    if not np.isin(values, (0, 1)).all() or not values.any():
        raise UserError(
            f"{path}: the label has values {values[:10].tolist()}, expected background and atrium: fetch it again"
        )


def _read_prepared(path: Path, name: str) -> "Volume":
    import h5py

    from semiseg.volume import Volume, checked

    try:
        with h5py.File(path, "r", locking=False) as file:
            array = file[name][()]
    except (OSError, KeyError) as error:
        raise UserError(f"{path} cannot be read as HDF5 with image and label ({error}): fetch it again") from None
    return checked(Volume(array, _affine()), path)


def _read_nrrd(path: Path) -> "Volume":
    from semiseg.volume import read_nrrd

    return read_nrrd(path)


def _affine() -> "Affine":
    import numpy as np

    return np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])


DATASET = Dataset(
    name="la",
    title="LA: 2018 Left Atrium segmentation challenge",
    modality="MRI",
    organs=(Organ(1, "left atrium", "LA"),),
    licence="terms of the challenge: research use, registration",
    citation="Xiong et al., A global benchmark of algorithms for segmenting the left atrium, MedIA 67 (2021)",
    source="https://www.cardiacatlas.org/atriaseg2018-challenge/atria-seg-data/",
    how_to_get=GET,
    find=find,
    read_image=read_image,
    read_label=read_label,
    import_from=import_from,
    applied=applied,
)
