"""What a dataset is: the contract between one file of ``semiseg.datasets`` and the stages.

Dataset modules are imported while the workflow is planned, so they keep heavy imports inside functions.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.params.kinds import check_case

if TYPE_CHECKING:
    from semiseg.base.volume import Volume


@dataclass(frozen=True)
class Organ:
    """A labelled structure: id in the prepared label map, name, and the abbreviation that tables use."""

    id: int
    name: str
    abbreviation: str


@dataclass(frozen=True)
class RawCase:
    """One scan in the raw folder: file names relative to it; ``label`` is None where no truth was published."""

    id: str
    image: str
    label: str | None


@dataclass(frozen=True)
class Part:
    """A part of a collection as its publisher divides it: case ids, whether they have labels and are open.

    open: fetched without registration. bulky: only the cases that a split of params.yaml names are brought.
    """

    name: str
    cases: Sequence[str]
    labelled: bool
    open: bool = False
    bulky: bool = False


@dataclass(frozen=True)
class RemoteFile:
    """A file that the publisher offers openly; size and checksum (``md5:..`` or ``sha256:..``) where published.

    name: path below the folder of downloaded archives.
    """

    name: str
    url: str
    bytes: int | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class Grid:
    """Size of a scan in voxels and its spacing in mm, along x, y, z."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


Ask = Callable[[str], Any]  # address -> the JSON that the server answers


@dataclass(frozen=True)
class Dataset:
    """A public collection. Every file of ``semiseg.datasets`` defines exactly one, called ``DATASET``.

    organs: in label-id order, background (0) left out.
    find: raw folder -> its cases; raises UserError when the folder is empty or incomplete.
    read_image, read_label: file of a case -> Volume; labels come back as the ids of ``organs`` (0 = background).
    how_to_get: one sentence: where to register or download, and which files to bring.
    typical: about the middle size of its scans, for estimates of disk space; None where drawn to order.
    parts: what the publisher offers, by which an import tells what is missing. layout: files as published, in words.
    notes: what is odd about it: known bad cases, traps, what could not be verified.
    generate: writes a synthetic collection into a folder with this many processes (phantoms), else None.
    import_from: brings a user's copy (folder or archive) into the raw folder, verified; of ``bulky`` parts only the
    wanted case ids (None: all). None where nothing can be imported.
    remote: the open files, as the publisher's server lists them now, else None.
    applied: preparation steps that a raw folder's distributed form has had already (by step name).
    case_id: name in a published split list -> case id. patient: case id -> whose scan it is.
    modality_of: case id -> modality, where a collection mixes several.
    """

    name: str
    title: str
    modality: str
    organs: Sequence[Organ]
    licence: str
    citation: str
    source: str
    how_to_get: str
    find: Callable[[Path], list[RawCase]]
    read_image: Callable[[Path], "Volume"]
    read_label: Callable[[Path], "Volume"]
    typical: Grid | None = None
    parts: Sequence[Part] = ()
    layout: str = ""
    notes: Sequence[str] = ()
    generate: Callable[[Path, Mapping[str, Any], int], None] | None = None
    import_from: Callable[[Path, Path, frozenset[str] | None], None] | None = None
    remote: Callable[[Ask], Sequence[RemoteFile]] | None = None
    applied: Callable[[Path], frozenset[str]] = field(default=lambda raw: frozenset())
    case_id: Callable[[str], str] = field(default=lambda name: name)
    patient: Callable[[str], str] = field(default=lambda case: case)
    modality_of: Callable[[str], str] | None = None

    def organ(self, abbreviation: str) -> Organ:
        """The organ with this abbreviation; UserError lists the known ones."""
        for organ in self.organs:
            if organ.abbreviation == abbreviation:
                return organ
        known = ", ".join(organ.abbreviation for organ in self.organs)
        raise UserError(f"dataset {self.name} has no organ {abbreviation!r}; it has: {known}")


def get_dataset(name: str) -> Dataset:
    """The dataset that the file ``semiseg/datasets/<name>.py`` defines; UserError lists the known ones."""
    catalogue.require("datasets", name, "dataset")
    dataset: Dataset = importlib.import_module(f"semiseg.datasets.{name}").DATASET
    return dataset


def manifest_cases(manifest: Mapping[str, Any], where: str) -> list[RawCase]:
    """Cases of a raw manifest. UserError for an id or a file name that leads out of the raw folder."""
    cases = [RawCase(case["id"], case["image"], case["label"]) for case in manifest["cases"]]
    for case in cases:
        check_case(case.id, where)
        for name in (case.image, case.label):
            if name is not None and (Path(name).is_absolute() or ".." in Path(name).parts):
                raise UserError(f"{where}: case {case.id} names a file outside its folder ({name!r}): build it again")
    return cases
