"""Datasets of one's own in the two common layouts: nnU-Net's folders, and images and label maps of equal names.

Layout of nnU-Net v1 and v2: documentation/dataset_format.md of MIC-DKFZ/nnUNet. The Medical Segmentation Decathlon has
its folders with equal names. A ``dataset.json`` beside the folders is compared with the dataset's file.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from semiseg.base.errors import UserError
from semiseg.base.texts import some
from semiseg.data.raw_files import claimed, paired, raw_cases, walk
from semiseg.dataset import Dataset, Grid, Organ, Part, RawCase

if TYPE_CHECKING:
    from semiseg.base.volume import Volume

DESCRIPTION = "dataset.json"
NNUNET = (("imagesTr", "imagesTs"), ("labelsTr", "labelsTs"))
CHANNEL = re.compile(r"(.+)_(\d{4})")
READ = (".nii.gz", ".nii", ".nrrd")
OTHER_IMAGES = (
    ".mha",
    ".mhd",
    ".nhdr",
    ".hdr",
    ".img",
    ".png",
    ".jpg",
    ".bmp",
    ".tif",
    ".tiff",
    ".b2nd",
    ".npy",
    ".npz",
    ".mgz",
    ".mgh",
    ".mnc",
    ".gipl",
    ".dcm",
    ".ima",
    ".h5",
    ".hdf5",
    ".mat",
)
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")  # endings after that of an image


class Facts(TypedDict, total=False):
    """Optional fields of ``semiseg.dataset.Dataset``."""

    notes: Sequence[str]
    typical: Grid
    parts: Sequence[Part]
    case_id: Callable[[str], str]
    patient: Callable[[str], str]


class About(Facts, total=False):
    """Optional fields, and those that need not be stated here."""

    licence: str
    citation: str
    source: str


@dataclass(frozen=True)
class Layout:
    """Names of the folders of images and label maps. channels: whether an image's name ends with its channel."""

    images: Sequence[str]
    labels: Sequence[str]
    channels: bool

    def image_of(self, path: PurePosixPath) -> str | None:
        """Case id of an image, None for another file. Raises UserError for a second channel."""
        stem = self._stem_in(self.images, path)
        if stem is None or not self.channels:
            return stem
        found = CHANNEL.fullmatch(stem)
        if found is None:
            raise UserError(
                f"{path} has no channel in its name, expected CASE_0000 as nnU-Net names images: rename it, or use "
                "nifti_pairs for images and label maps of equal names"
            )
        if found[2] != "0000":
            raise UserError(
                f"{path} is channel {int(found[2])} of case {found[1]} by its name, expected one channel a case "
                "(_0000): leave the others out, and name the channel that counts _0000"
            )
        return found[1]

    def label_of(self, path: PurePosixPath) -> str | None:
        """Case id of a label map, None for another file."""
        return self._stem_in(self.labels, path)

    def _stem_in(self, folders: Sequence[str], path: PurePosixPath) -> str | None:
        """Case of a file in one of these folders. Raises UserError for an image in a folder below them."""
        if path.parent.name in folders:
            return _stem(path)
        known = {*self.images, *self.labels}
        above = [part for part in path.parent.parts if part in known]
        if above and above[-1] in folders and _stem(path) is not None:
            raise UserError(
                f"{path} lies in a folder below {above[-1]}, expected the files directly in {above[-1]}: move it there"
            )
        return None

    def place(self, path: PurePosixPath) -> str | None:
        """Where the import puts a file of a user's copy; None for a file that is not needed."""
        if path.name == DESCRIPTION:
            return DESCRIPTION
        known = self.image_of(path) is not None or self.label_of(path) is not None
        return f"{path.parent.name}/{path.name}" if known else None


def nnunet(name: str, *, title: str, modality: str, organs: Sequence[Organ], **about: Unpack[About]) -> Dataset:
    """A dataset in nnU-Net's layout: ``imagesTr/CASE_0000.nii.gz``, ``labelsTr/CASE.nii.gz``, ``dataset.json``.

    The scans of imagesTs are unlabelled cases where labelsTs has no label map. Files end with .nii.gz, .nii or .nrrd.
    A second channel, a region of several labels, and a dataset.json of other labels than ``organs`` are refused. name:
    that of the dataset's file. modality: "CT" (HU) or "MRI". about: optional fields of ``Dataset``.
    """
    layout = Layout(*NNUNET, channels=True)
    get = "bring a folder in nnU-Net's layout: imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz, dataset.json"
    return _dataset(layout, get, name, title, modality, organs, **about)


def nifti_pairs(
    name: str,
    *,
    title: str,
    modality: str,
    organs: Sequence[Organ],
    images: Sequence[str] = ("images",),
    labels: Sequence[str] = ("labels",),
    **about: Unpack[About],
) -> Dataset:
    """A dataset of images and label maps with equal names: ``images/CASE.nii.gz`` with ``labels/CASE.nii.gz``.

    An image without a label map is an unlabelled case. images, labels: names of the folders; those of the Medical
    Segmentation Decathlon are ("imagesTr", "imagesTs") and ("labelsTr",). The others are as in ``nnunet``.
    """
    get = f"bring a folder with {images[0]}/CASE.nii.gz and {labels[0]}/CASE.nii.gz"
    return _dataset(Layout(images, labels, channels=False), get, name, title, modality, organs, **about)


def find_nnunet(raw: Path, nothing: str) -> list[RawCase]:
    """Cases of a folder in nnU-Net's layout, as ``semiseg.data.raw_files.raw_cases`` finds them."""
    layout = Layout(*NNUNET, channels=True)
    return raw_cases(raw, layout.image_of, layout.label_of, nothing)


def _dataset(
    layout: Layout,
    get: str,
    name: str,
    title: str,
    modality: str,
    organs: Sequence[Organ],
    *,
    licence: str = "not stated",
    citation: str = "not stated",
    source: str = "own data",
    **facts: Unpack[Facts],
) -> Dataset:
    return Dataset(
        name=name,
        title=title,
        modality=modality,
        organs=organs,
        licence=licence,
        citation=citation,
        source=source,
        how_to_get=get,
        find=partial(_find, layout, name, modality, organs, get),
        read_image=_read,
        read_label=_read,
        import_from=partial(_import, layout, name, get),
        layout=get,
        **facts,
    )


def _find(layout: Layout, name: str, modality: str, organs: Sequence[Organ], get: str, raw: Path) -> list[RawCase]:
    images, labels = claimed(raw, layout.image_of, "image"), claimed(raw, layout.label_of, "label map")
    if not images:
        raise UserError(f"{raw} holds no case of {name}: {get}")
    if lonely := [labels[case] for case in sorted(set(labels) - set(images))]:
        raise UserError(f"{raw} holds label maps without an image ({some(lonely)}): bring the images, or rename them")
    for path, inside in walk(raw):
        if inside.name == DESCRIPTION:
            _check_description(_description(path), str(path), name, modality, organs, images.values())
    return paired(images, labels)


def _import(layout: Layout, name: str, get: str, source: Path, raw: Path, wanted: frozenset[str] | None) -> None:
    from semiseg.data.arrival.importing import import_files

    import_files(source, raw, dataset=name, place=layout.place, get=get)


def _read(path: Path) -> "Volume":
    from semiseg.data.images import read_nifti
    from semiseg.data.nrrd import read_nrrd

    return read_nrrd(path) if path.suffix.lower() == ".nrrd" else read_nifti(path)


def _stem(path: PurePosixPath) -> str | None:
    """A file's name without its ending; None for a file that is no image, such as a text."""
    name = path.name
    if ending := next((ending for ending in READ if name.lower().endswith(ending)), None):
        return name[: -len(ending)]
    unpacked = PurePosixPath(path.stem) if path.suffix.lower() in PACKED else path
    if unpacked.suffix.lower() in (*OTHER_IMAGES, *READ):
        raise UserError(f"{path} is of a format that is not read, expected {', '.join(READ)}: convert it")
    return None


def _description(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))  # editors of Windows put a mark before the text
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}): correct it or take it away") from None


def _check_description(
    content: Any, where: str, name: str, modality: str, organs: Sequence[Organ], images: Iterable[str]
) -> None:
    """Raise UserError where a dataset.json and the dataset's file contradict, or where it requires what is not read."""
    if not isinstance(content, Mapping) or not isinstance(content.get("labels"), Mapping):
        raise UserError(f"{where} has no labels, expected nnU-Net's dataset.json: correct it or take it away")
    channels = content.get("channel_names", content.get("modality", {}))
    if isinstance(channels, Mapping):
        channels = list(channels.values())
    names = channels if isinstance(channels, list) else [] if channels is None else [channels]
    if len(names) > 1:
        raise UserError(f"{where} has {len(names)} channels ({some(names)}), expected one: keep one of them")
    channel = str(names[0]).upper() if names else ""
    if (channel == "CT" and modality != "CT") or (channel.startswith("MR") and modality == "CT"):
        raise UserError(
            f"{where} has the channel {names[0]}, {_file(name)} the modality {modality}: correct one of them"
        )
    if "dataset" in content:
        raise UserError(f"{where} lists files by its key dataset, which is not read: name the files as nnU-Net does")
    ending = content.get("file_ending", "")
    if other := next((image for image in images if not image.lower().endswith(str(ending).lower())), None):
        raise UserError(f"{where} has file_ending {ending!r}, and {other} ends otherwise: keep one form of each file")
    found, expected = _labels(content["labels"], where), {organ.id: organ.name for organ in organs}
    if {id_: _plain(label) for id_, label in found.items()} != {id_: _plain(label) for id_, label in expected.items()}:
        raise UserError(
            f"{where} has labels {_shown(found)}, {_file(name)} has organs {_shown(expected)}: make them equal"
        )


def _labels(labels: Mapping[str, Any], where: str) -> dict[int, str]:
    """Label id -> name without the background, from ``{"liver": 1}`` (v2) or ``{"1": "liver"}`` (v1)."""
    found = {}
    for key, value in labels.items():
        label, number = (value, key) if str(key).isdecimal() else (key, value)
        if isinstance(number, list | tuple):
            raise UserError(f"{where}: {key} is a region of several labels, which is not read: list single labels")
        if not str(number).isdecimal() or _plain(str(label)) == "ignore":
            raise UserError(f"{where}: label {key!r} is {value!r}, expected an organ and its id: correct it")
        if int(number):
            found[int(number)] = str(label)
    return found


def _file(name: str) -> str:
    return f"src/semiseg/datasets/{name}.py"


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _shown(labels: Mapping[int, str]) -> str:
    return ", ".join(f"{number} {label}" for number, label in sorted(labels.items()))
