"""What a dataset is: the contract between one file of ``semiseg.datasets`` and the stages.

Dataset modules are imported while the workflow is planned, so they keep heavy imports inside functions.
"""

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
    """A part of a collection as its publisher divides it.

    cases: case ids. labelled: whether they have labels. open: fetched without registration. on_demand: of a large part,
    only the cases that a split of params.yaml names are imported.
    """

    name: str
    cases: Sequence[str]
    labelled: bool
    open: bool = False
    on_demand: bool = False


@dataclass(frozen=True)
class RemoteFile:
    """A file that the publisher offers openly.

    name: path below the folder of downloaded archives. bytes, checksum (``md5:..`` or ``sha256:..``): None where the
    publisher gives none.
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


FetchJson = Callable[[str], Any]  # address -> the JSON that the server answers


@dataclass(frozen=True)
class Dataset:
    """A public collection. Every file of ``semiseg.datasets`` defines exactly one, called ``DATASET``.

    organs: in label-id order, background (0) left out.
    find: raw folder -> its cases; raises UserError when the folder is empty or incomplete.
    read_image, read_label: file of a case -> Volume; labels come back as the ids of ``organs`` (0 = background).
    how_to_get: one sentence: where to register or download, and which files to import.
    typical: about the median size of its scans, for estimates of disk space; None where params.yaml gives the size.
    parts: what the publisher offers; an import names the cases that are missing. layout: files as published, in words.
    notes: caveats: known bad cases, traps, what could not be verified.
    generate: (folder, options, processes) writes a synthetic collection into the folder; None for real collections.
    import_from: (source, raw, wanted) verifies a user's copy (folder or archive) and copies it into the raw folder. Of
    ``on_demand`` parts only the wanted case ids are copied (None: all). None where nothing can be imported.
    remote: the open files, as the publisher's server lists them now; None where nothing is open.
    applied: raw folder -> names of the preparation steps that its files have had already.
    case_id: name in a published split list -> case id. patient: case id -> id of the patient.
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
    remote: Callable[[FetchJson], Sequence[RemoteFile]] | None = None
    applied: Callable[[Path], frozenset[str]] = field(default=lambda raw: frozenset())
    case_id: Callable[[str], str] = field(default=lambda name: name)
    patient: Callable[[str], str] = field(default=lambda case: case)
    modality_of: Callable[[str], str] | None = None

    def organ(self, abbreviation: str) -> Organ:
        """The organ with this abbreviation. Raises UserError with the known ones."""
        for organ in self.organs:
            if organ.abbreviation == abbreviation:
                return organ
        known = ", ".join(organ.abbreviation for organ in self.organs)
        raise UserError(f"dataset {self.name} has no organ {abbreviation!r}; it has: {known}")


def get_dataset(name: str) -> Dataset:
    """The dataset that the file ``semiseg/datasets/<name>.py`` defines.

    Raises UserError with the known ones, and BrokenError for a file that cannot be imported.
    """
    catalogue.require("datasets", name)
    dataset: Dataset = catalogue.load_value("datasets", name, "DATASET")
    return dataset


def manifest_cases(manifest: Mapping[str, Any], where: str) -> list[RawCase]:
    """Cases of a raw manifest. Raises UserError for an id or a file name that leads out of the raw folder."""
    cases = [RawCase(case["id"], case["image"], case["label"]) for case in manifest["cases"]]
    for case in cases:
        check_case(case.id, where)
        for name in (case.image, case.label):
            if name is not None and (Path(name).is_absolute() or ".." in Path(name).parts):
                raise UserError(f"{where}: case {case.id} names a file outside its folder ({name!r}): build it again")
    return cases
