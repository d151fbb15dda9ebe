"""Good raw cases in the form of several datasets, and the command line run over them."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk

from semiseg.base.volume import Volume
from semiseg.cli.main import main
from semiseg.data.dicom import read_dicom
from semiseg.data.images import write_nifti
from support.prepared_cases import raw_spec

SHAPE = (16, 15, 12)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2.5, 0, -20], [0, 0, 4.0, 11], [0, 0, 0, 1]])
PLAIN = {"axes": "zyx", "steps": [{"step": "rescale", "low": 0, "high": 100}]}
Spoil = Callable[[Path], object]


def ct(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 400, SHAPE).astype(np.int16)


def block(ids: Sequence[int] = (1,)) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    for number, value in enumerate(ids):
        label[3:7, 4:9, number] = value
    return label


def write_phantom(
    raw: Path, case: str, image: np.ndarray, label: np.ndarray | None, affine: np.ndarray = AFFINE
) -> None:
    write_nifti(raw / "imagesTr" / f"{case}_0000.nii.gz", Volume(image, AFFINE))
    if label is not None:
        write_nifti(raw / "labelsTr" / f"{case}.nii.gz", Volume(label, affine))


def write_nrrd(path: Path, array: np.ndarray, compressed: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetSpacing((0.625, 0.625, 0.625))
    sitk.WriteImage(image, str(path), compressed)


def write_h5(path: Path, image: np.ndarray, label: np.ndarray | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["image"] = image
        if label is not None:
            file["label"] = label


def write_slice(
    path: Path, z: float, rows: np.ndarray | None = None, series: str = "1.2.3.4", spacing: float = 0.8, x: float = 1.5
) -> None:
    """One CT slice: 900 + stored grey = HU + 1024 at rows [y x]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        np.random.default_rng(int(abs(z))).integers(-1000, 400, SHAPE[1::-1]).astype(np.int16) if rows is None else rows
    )
    image = sitk.GetImageFromArray(rows[None])
    image.SetSpacing((spacing, spacing, 1.0))
    tags = {
        "0008|0060": "CT",
        "0020|000e": series,
        "0020|0032": f"{x}\\2\\{z}",
        "0020|0037": "1\\0\\0\\0\\1\\0",
        "0028|1052": "-1024",
        "0028|1053": "1",
    }
    for key, value in tags.items():
        image.SetMetaData(key, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(path))
    writer.Execute(image)


def zip_of(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


def write_series(raw: Path, case: str, change: Spoil = lambda folder: None) -> None:
    """A zip of twelve slices, 1-01.dcm the lowest; ``change`` works on the folder before it is packed."""
    folder = raw / ".slices"
    for number in range(SHAPE[2]):
        write_slice(folder / f"1-{number + 1:02d}.dcm", -30 + 2.5 * number)
    change(folder)
    zip_of(folder, raw / f"{case}.zip")
    shutil.rmtree(folder)


def write_pancreas(raw: Path, case: str) -> None:
    write_series(raw, case)
    image = read_dicom(raw / f"{case}.zip")
    soft = ((image.array > 40) & (image.array < 140)).astype(np.uint8)
    write_nifti(raw / f"label{case[-4:]}.nii.gz", Volume(soft, image.affine))


def good(form: str, raw: Path) -> None:
    """Two good cases; the first is not touched by anything."""
    for number, case in enumerate(CASES[form]):
        if form == "phantom":
            write_phantom(raw, case, ct(number), block((1, 2)))
        elif form == "la":
            write_nrrd(raw / case / "lgemri.nrrd", np.abs(ct(number)))
            write_nrrd(raw / case / "laendo.nrrd", block((255, 255)))
        elif form == "la_h5":
            write_h5(raw / case / "mri_norm2.h5", ct(number).astype(np.float32) / 400, block())
        else:
            write_pancreas(raw, case)


CASES = {
    "phantom": ("a", "b"),
    "la": ("A", "B"),
    "la_h5": ("A", "B"),
    "pancreas_ct": ("PANCREAS_0001", "PANCREAS_0002"),
}


def flip(name: str, where: float) -> Spoil:
    """One bit of a file's content flipped."""

    def spoil(raw: Path) -> None:
        content = bytearray((raw / name).read_bytes())
        content[int(where * len(content))] ^= 4
        (raw / name).write_bytes(content)

    return spoil


def with_value(array: np.ndarray, value: float, kind: type = np.float32) -> np.ndarray:
    array = array.astype(kind)
    array[1, 2, 3] = value
    return array


def build(form: str, raw: Path, out: Path) -> int:
    """The rules ``raw`` and ``prepare`` as the workflow calls them; the first exit status that is not 0."""
    dataset, manifest = form.removesuffix("_h5"), raw / "manifest.json"
    spec = {"dataset": dataset, "name": "plain", "preparation": PLAIN}
    return main(["raw", "--spec", json.dumps(raw_spec(dataset)), "--out", str(manifest)]) or main(
        ["prepare", "--spec", json.dumps(spec), "--raw", str(manifest), "--out", str(out)]
    )


def printed(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Lines of output without progress, those of libraries included."""
    out, err = capfd.readouterr()
    assert out == ""
    progress = re.compile(r": \d+/\d+ \w+ \(\d+ %\)|: \d+ files to bring")
    return [line for line in err.splitlines() if not progress.search(line)]


def one_sentence(lines: list[str], sentence: str) -> None:
    assert len(lines) == 1, lines
    assert re.search(sentence, lines[0]), lines[0]
    assert lines[0].startswith("error: ") and len(lines[0]) < 600 and not re.search(r"[.!?] [A-Z]|\.$", lines[0]), lines
