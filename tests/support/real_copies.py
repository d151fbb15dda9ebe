"""Real scans of the local folder in the form that their publishers give; the folder stores them in smaller files."""

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np

from support import REALDATA
from support.needs import needs_real_data

LA, OPENKBP = REALDATA / "la", REALDATA / "openkbp"
ORGANS = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible")  # ids 1 to 7
needs_la, needs_openkbp = needs_real_data("la"), needs_real_data("openkbp")


def la_names() -> list[str]:
    return sorted(path.stem for path in (LA / "cases").glob("*.npz"))


def la_case(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Image (z-scores, float32) and label (uint8) of an LA case, ``[x y z]``."""
    image, label = _la_codec().load(str(LA / "cases" / f"{name}.npz"))
    return image, label


def write_la(folder: Path, name: str) -> Path:
    """An LA case as yulequan/UA-MT distributes it: ``<name>/mri_norm2.h5``."""
    image, label = la_case(name)
    file = folder / name / "mri_norm2.h5"
    file.parent.mkdir(parents=True)
    with h5py.File(file, "w") as content:
        content["image"], content["label"] = image, label
    return file


def openkbp_names() -> list[str]:
    return sorted(path.stem for path in OPENKBP.glob("*_pt_*.npz"))


def openkbp_case(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stored values, label map and spacing (mm) of a patient such as ``train_pt_4``."""
    with np.load(OPENKBP / f"{name}.npz") as file:
        return file["image"], file["label"], file["spacing"]


def write_openkbp(folder: Path, name: str) -> Path:
    """A patient as ababier/open-kbp publishes it: ``<part>-pats/pt_<number>`` with CSV files of flat indices."""
    image, label, spacing = openkbp_case(name)
    part, _, patient = name.partition("_")
    target = folder / f"{part}-pats" / patient
    target.mkdir(parents=True)
    flat = np.flatnonzero(image)
    _write_csv(target / "ct.csv", (f"{index},{value}.0" for index, value in zip(flat, image.flat[flat], strict=True)))
    for number, organ in enumerate(ORGANS, 1):
        if (label == number).any():
            _write_csv(target / f"{organ}.csv", (f"{index}," for index in np.flatnonzero(label == number)))
    np.savetxt(target / "voxel_dimensions.csv", spacing)
    return target


def _write_csv(path: Path, rows: Iterator[str]) -> None:
    path.write_text("\n".join([",data", *rows]) + "\n", encoding="utf-8")


@cache
def _la_codec() -> ModuleType:
    """The decoder that lies beside the LA copy."""
    spec = importlib.util.spec_from_file_location("la_codec", LA / "la_codec.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
