"""What the rule ``predict`` writes: label maps of the test cases on both grids, and a manifest. It needs no torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.base.files import digest, read_json, sha256, sweep, write_json
from semiseg.base.progress import Progress
from semiseg.base.volume import Volume
from semiseg.data.images import write_nifti
from semiseg.data.raw_grid import to_native
from semiseg.data.store import read_geometry
from semiseg.jobs.code_hash import code_of
from semiseg.params.kinds import check_case

NEW = ".new"  # where the files of a call lie until all of them are made


Scores = NDArray[np.float32]  # of each class for a prepared case, ``[k *stored]``


def write_predictions(
    spec: Mapping[str, Any],
    trained: Path,
    prepared: Path,
    split: Path,
    out: Path,
    predict_case: Callable[[Path], Scores],
) -> None:
    """Write ``predictions/<case>.nii.gz`` (raw geometry) and ``<case>.prepared.nii.gz`` beside the manifest ``out``.

    predict_case: gives the scores of the prepared case in a file; the class with the highest one is predicted. Cases
    that an interrupted call has finished with the same weights, data and code are kept. The files of earlier
    predictions stay until all new ones are made (in ``predictions/.new``), so a call that fails loses none of them. The
    manifest holds the hash of each file and is written last. Raises UserError for a test case that was not prepared.
    """
    index, cases = read_json(prepared), read_json(split)["test"]
    folder, new = out.parent / "predictions", out.parent / "predictions" / NEW
    sweep(folder)
    sweep(new)
    made_from = [spec, sha256(trained), code_of("predict", spec)]
    files: dict[str, str] = {}
    with Progress(f"predict {spec['method']}", len(cases), "case") as bar:
        for case in cases:
            if case not in index["cases"]:
                raise UserError(f"test case {case} is not among the prepared cases of {prepared}: prepare it first")
            check_case(case, str(split))
            entry = index["cases"][case]
            mark = digest([*made_from, entry])
            place = next((place for place in (new, folder) if _finished(place, case, mark)), None)
            if place is None:
                place = new
                file = prepared.parent / entry["file"]
                _write(predict_case(file), file, place, case)
                write_json(_note(place, case), {"made_from": mark, **_hashes(place, case)})
            files |= _hashes(place, case)
            bar.step(case=case)
    _bring_in(new, folder)
    write_json(out, {"cases": cases, "files": files})


def _write(scores: Scores, prepared: Path, folder: Path, case: str) -> None:
    """Write one case on both grids."""
    geometry = read_geometry(prepared)
    labels, native = np.asarray(scores.argmax(0), np.uint8), to_native(scores, geometry)
    write_nifti(folder / f"{case}.prepared.nii.gz", Volume(labels, geometry.affine))
    write_nifti(folder / f"{case}.nii.gz", Volume(native, geometry.raw_affine))


def _bring_in(new: Path, folder: Path) -> None:
    """Move all files from ``new`` into ``folder``, in place of those with the same names."""
    if new.exists():
        for file in sorted(new.iterdir()):
            file.replace(folder / file.name)
        new.rmdir()


def _note(folder: Path, case: str) -> Path:
    """The file that holds from what the files of a case were made."""
    return folder / f".{case}.json"


def _names(case: str) -> tuple[str, str]:
    return f"{case}.nii.gz", f"{case}.prepared.nii.gz"


def _hashes(folder: Path, case: str) -> dict[str, str]:
    return {name: sha256(folder / name) for name in _names(case)}


def _finished(folder: Path, case: str, mark: str) -> bool:
    """Whether an earlier call has finished this case from the same inputs."""
    note = _note(folder, case)
    if not note.exists() or not all((folder / name).exists() for name in _names(case)):
        return False
    return bool(read_json(note) == {"made_from": mark, **_hashes(folder, case)})
