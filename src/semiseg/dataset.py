"""What a dataset is: the contract between one file of ``semiseg.datasets`` and the stages.

Dataset modules are imported while the workflow is planned, so they keep heavy imports inside functions.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg import catalogue
from semiseg.errors import UserError

if TYPE_CHECKING:
    from semiseg.volume import Volume


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
class Dataset:
    """A public collection. Every file of ``semiseg.datasets`` defines exactly one, called ``DATASET``.

    organs: in label-id order, background (0) left out.
    find: raw folder -> its cases; raises UserError when the folder is empty or incomplete.
    read_image, read_label: file of a case -> Volume; labels come back as the ids of ``organs`` (0 = background).
    generate: writes a synthetic collection into a folder with this many processes (phantoms and stand-ins), else None.
    import_from: brings a user's copy (folder) into the raw folder, verified, else None.
    how_to_get: one sentence: where to register or download, and which files to bring.
    applied: preparation steps that a raw folder's distributed form has had already (by step name).
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
    generate: Callable[[Path, Mapping[str, Any], int], None] | None = None
    import_from: Callable[[Path, Path], None] | None = None
    applied: Callable[[Path], frozenset[str]] = field(default=lambda raw: frozenset())

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
