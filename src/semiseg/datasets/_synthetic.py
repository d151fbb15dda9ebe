"""What the synthetic collections share: folders as in FLARE22, drawing in several processes, random grids."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.config import GenerateOptions
from semiseg.dataset import RawCase
from semiseg.errors import UserError

if TYPE_CHECKING:
    from semiseg.volume import Volume

    Draw = Callable[[GenerateOptions, int], tuple[Volume, Volume]]


def read(path: Path) -> "Volume":
    """Image (int16) or label map (uint8) of a case."""
    from semiseg.volume import read_nifti

    return read_nifti(path)


def find_cases(raw: Path, name: str) -> list[RawCase]:
    """Cases of ``imagesTr/<case>_0000.nii.gz`` with ``labelsTr/<case>.nii.gz`` where that exists."""
    images = sorted((raw / "imagesTr").glob("*_0000.nii.gz"))
    if not images:
        raise UserError(
            f"{raw}/imagesTr holds no *_0000.nii.gz: draw the cases with `snakemake data/raw/{name}/manifest.json`"
        )
    cases = []
    for image in images:
        case = image.name.removesuffix("_0000.nii.gz")
        label = f"labelsTr/{case}.nii.gz"
        cases.append(RawCase(case, f"imagesTr/{image.name}", label if (raw / label).exists() else None))
    return cases


def generate_cases(folder: Path, options: Mapping[str, Any], workers: int, name: str, draw: "Draw") -> None:
    """Draw all cases into ``folder``; the first ``labelled`` ones get a label file. Equal options give equal files."""
    from semiseg.parallel import each

    given = GenerateOptions.model_validate(dict(options))
    for part in ("imagesTr", "labelsTr"):
        for stale in (folder / part).glob(f"{name}_*.nii.gz"):
            stale.unlink()
    each(
        partial(_write_one, folder, given, name, draw),
        range(given.labelled + given.unlabelled),
        workers,
        f"draw {name}",
    )


def _write_one(folder: Path, options: GenerateOptions, name: str, draw: "Draw", index: int) -> None:
    from semiseg.volume import write_nifti

    image, label = draw(options, index)
    case = f"{name}_{index + 1:04d}"
    write_nifti(folder / "imagesTr" / f"{case}_0000.nii.gz", image)
    if index < options.labelled:
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", label)
