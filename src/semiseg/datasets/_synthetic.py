"""Common code of the synthetic datasets: folders as in FLARE22, drawing in several processes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from semiseg.base.volume import Volume
from semiseg.data.images import read_nifti
from semiseg.data.layouts import find_nnunet
from semiseg.dataset import Dataset, Organ, RawCase
from semiseg.params.data import GenerateOptions

Draw = Callable[[GenerateOptions, int], tuple[Volume, Volume]]


def synthetic(name: str, title: str, modality: str, organs: Sequence[Organ], draw: Draw) -> Dataset:
    """A dataset that is drawn on the user's machine. draw: (options, index of a case) -> image and label map."""
    return Dataset(
        name=name,
        title=title,
        modality=modality,
        organs=organs,
        licence="Apache-2.0",
        citation="semiseg",
        source="drawn by semiseg",
        how_to_get=f"it is drawn on this machine: give datasets.{name}.generate in params.yaml",
        find=partial(find_cases, name=name),
        read_image=read_nifti,
        read_label=read_nifti,
        generate=partial(generate_cases, name=name, draw=draw),
    )


def find_cases(raw: Path, *, name: str) -> list[RawCase]:
    """Cases of ``imagesTr/<case>_0000.nii.gz`` with ``labelsTr/<case>.nii.gz`` where that exists."""
    nothing = f"holds no imagesTr/*_0000.nii.gz: draw the cases with `snakemake data/raw/{name}/manifest.json`"
    return find_nnunet(raw, nothing)


def generate_cases(folder: Path, options: Mapping[str, Any], workers: int, *, name: str, draw: Draw) -> None:
    """Draw all cases into ``folder``. The first ``labelled`` ones get a label file. Equal options give equal files."""
    from semiseg.base.parallel import each

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


def _write_one(folder: Path, options: GenerateOptions, name: str, draw: Draw, index: int) -> None:
    from semiseg.data.images import write_nifti

    image, label = draw(options, index)
    case = f"{name}_{index + 1:04d}"
    write_nifti(folder / "imagesTr" / f"{case}_0000.nii.gz", image)
    if index < options.labelled:
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", label)
