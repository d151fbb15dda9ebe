"""The files of a folder of scans: left-overs of other systems are passed over, and no two are image or label of a case.

Import, datasets and the DICOM reader all list folders by this file, so that one rule decides what counts.
"""

import logging
import os
import re
import unicodedata
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

from semiseg.base.errors import UserError
from semiseg.base.texts import some
from semiseg.dataset import RawCase

logger = logging.getLogger(__name__)

LEFTOVER_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")
LEFTOVER_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "dicomdir", "icon\r")
LEFTOVER_ENDING = ":zone.identifier"  # what Windows notes beside a downloaded file, as WSL shows it
TEXTS = (".json", ".txt", ".md", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".pdf", ".html", ".log")
CaseOf = Callable[[PurePosixPath], str | None]  # path below the raw folder -> case id, None for a file of another kind


def is_leftover(path: PurePath) -> bool:
    """Whether a relative path is a file that a system has left beside the data, or lies in a folder of such files.

    These are hidden files (``._x``, ``.DS_Store``), what macOS adds to archives (``__MACOSX``), what Windows keeps in
    folders (``Thumbs.db``, ``desktop.ini``) and the index of a DICOM medium (``DICOMDIR``). Case does not count.
    """
    if any(part.startswith(".") or part.lower() in LEFTOVER_FOLDERS for part in path.parts):
        return True
    return path.name.lower() in LEFTOVER_FILES or path.name.lower().endswith(LEFTOVER_ENDING)


def walk(folder: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """The files below a folder with their path inside it, in the order of names, without left-overs.

    Linked folders are followed, each once. Raises UserError for a folder that cannot be listed.
    """
    seen: set[Path] = set()
    for here, below, names in os.walk(folder, onerror=_refuse, followlinks=True):
        if Path(here).resolve() in seen:  # a link back
            below.clear()
            continue
        seen.add(Path(here).resolve())
        below.sort()
        for path in (Path(here) / name for name in sorted(names)):
            inside = PurePosixPath(path.relative_to(folder).as_posix())
            if not is_leftover(inside) and (path.is_file() or path.is_symlink()):
                yield path, inside


def _refuse(error: OSError) -> None:
    """What ``os.walk`` calls for a folder that it would otherwise leave out. One that is not there holds no files."""
    if isinstance(error, FileNotFoundError):
        return
    raise UserError(
        f"{error.filename} cannot be listed ({error.strerror}): check its permissions, or leave it out of the folder"
    )


def raw_cases(raw: Path, image_of: CaseOf, label_of: CaseOf, nothing: str) -> list[RawCase]:
    """The cases of a raw folder, wherever their files lie in it.

    Raises UserError with the sentence ``nothing`` where there is no image, and as ``claimed`` does.
    """
    images, labels = claimed(raw, image_of, "image"), claimed(raw, label_of, "label map")
    if not images:
        raise UserError(f"{raw} {nothing}")
    return paired(images, labels)


def claimed(raw: Path, case_of: CaseOf, what: str) -> dict[str, str]:
    """Case id -> the one file below ``raw`` that is its ``what`` ("image", "label map").

    macOS writes accents as signs of their own (NFD); a case id has the composed form (NFC), so that files from several
    systems belong together. Raises UserError with both files where two are of one case, because no rule could choose
    between them.
    """
    found: dict[str, str] = {}
    for _, inside in walk(raw):
        name = case_of(inside)
        if name is None:
            continue
        case = unicodedata.normalize("NFC", name)
        if case in found:
            raise UserError(
                f"{raw} holds two {what}s of case {case}, {found[case]} and {inside}, expected one: remove the other"
            )
        found[case] = str(inside)
    return found


def check_unused(raw: Path, cases: Sequence[RawCase], others: Container[str], shown: Path) -> None:
    """Warn of the files below ``raw`` that belong to no case. Raises UserError for another channel of a case.

    others: names of files that are no data. Texts are none either. shown: the folder as warnings name it.
    """
    used = {name for case in cases for name in (case.image, case.label)}
    unused = [inside for _, inside in walk(raw) if str(inside) not in used and inside.name not in others]
    images = {case.image: case.id for case in cases}
    first = {(PurePosixPath(image).parent, found[1]): images[image] for image in images if (found := _channel(image))}
    for path in unused:
        found = _channel(path)
        if found is not None and (path.parent, found[1]) in first:
            raise UserError(
                f"{raw}/{path} is channel {int(found[2])} of case {first[path.parent, found[1]]} by its name, expected "
                "one channel a case (_0000): leave the others out, and name the channel that counts _0000"
            )
    if data := [str(path) for path in unused if path.suffix.lower() not in TEXTS]:
        logger.warning(f"warning: {len(data)} files of {shown} belong to no case and are left out: {some(data)}")


def _channel(path: str | PurePosixPath) -> re.Match[str] | None:
    """Case and channel in a name as nnU-Net gives it: ``CASE_0000.nii.gz``."""
    return re.fullmatch(r"(.+)_(\d{4})\.\D+", PurePosixPath(path).name)


def paired(images: Mapping[str, str], labels: Mapping[str, str]) -> list[RawCase]:
    """The cases of all images, each with its label map where there is one."""
    return [RawCase(case, images[case], labels.get(case)) for case in sorted(images)]


def nifti_stem(path: PurePath) -> str | None:
    """The name of a NIfTI file without ``.nii`` or ``.nii.gz``, None for another file."""
    found = re.fullmatch(r"(.+?)\.nii(\.gz)?", path.name)
    return None if found is None else found[1]
