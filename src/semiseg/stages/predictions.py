"""What the rule ``predict`` writes: label maps of the test cases on both grids, and a manifest. It needs no torch."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from semiseg.base.components import largest_components
from semiseg.base.errors import UserError
from semiseg.base.files import digest, read_json, sha256, sweep, write_json
from semiseg.base.progress import Progress
from semiseg.base.volume import Volume
from semiseg.data.geometry import Geometry
from semiseg.data.images import write_nifti
from semiseg.data.raw_grid import label_map, to_native
from semiseg.data.store import Label, read_geometry
from semiseg.jobs.code_hash import code_of
from semiseg.params.kinds import check_case

NEW = ".new"  # where the files of a call lie until all of them are made


Scores = NDArray[np.float32]  # of each class for a prepared case, ``[k *stored]``
Room = Callable[[], None]  # waits until no scores of an earlier case are in memory
Hashes = dict[str, str]  # of the files of a case, by name


def write_predictions(
    spec: Mapping[str, Any],
    trained: Path,
    prepared: Path,
    split: Path,
    out: Path,
    predict_case: Callable[[Path, Room], Scores],
    *,
    largest_component: bool = False,
) -> None:
    """Write ``predictions/<case>.nii.gz`` (raw geometry) and ``<case>.prepared.nii.gz`` beside the manifest ``out``.

    predict_case: gives the scores of the prepared case in a file; the class with the highest one is predicted. It calls
    its second argument before it allocates scores in the host's memory. The label maps of a case are made and written
    in a thread while the next case is predicted, and an error in that thread is raised here. largest_component: each
    label map keeps only the largest component of each organ.

    Cases that an interrupted call has finished with the same weights, data and code are kept. The files of earlier
    predictions stay until all new ones are made (in ``predictions/.new``), so a call that fails loses none of them. The
    manifest holds the hash of each file and is written last. Raises UserError for a test case that was not prepared.
    """
    index, cases = read_json(prepared), read_json(split)["test"]
    folder, new = out.parent / "predictions", out.parent / "predictions" / NEW
    sweep(folder)
    sweep(new)
    made_from = [spec, sha256(trained), code_of("predict", spec)]
    hashes: dict[str, Hashes] = {}
    with Progress(f"predict {spec['method']}", len(cases), "case") as bar:

        def done(case: str, files: Hashes) -> None:
            hashes[case] = files
            bar.step(case=case)

        with _Writer(new, done, largest_component) as writer:
            for case in cases:
                if case not in index["cases"]:
                    raise UserError(f"test case {case} is not among the prepared cases of {prepared}: prepare it first")
                check_case(case, str(split))
                entry = index["cases"][case]
                mark = digest([*made_from, entry])
                kept = _finished(new, case, mark) or _finished(folder, case, mark)
                if kept:
                    done(case, kept)
                else:
                    file = prepared.parent / entry["file"]
                    writer.write(predict_case(file, writer.room), file, case, mark)
    _bring_in(new, folder)
    write_json(out, {"cases": cases, "files": {name: sha for case in cases for name, sha in hashes[case].items()}})


class _Writer:
    """Makes and writes the label maps of one case in a thread, while its caller works on the next case.

    folder: receives the files. done: is called in the caller's thread for each case whose files are written.
    largest_component: as in ``write_predictions``.
    The error of a case is raised by the next call, or at the end of the context.
    """

    def __init__(self, folder: Path, done: Callable[[str, Hashes], None], largest_component: bool) -> None:
        self._folder, self._done, self._largest_component = folder, done, largest_component
        self._pool = ThreadPoolExecutor(1)
        self._case, self._labels, self._files = "", Future[tuple[Label, Label]](), Future[Hashes]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()  # a case that is complete is written even where the next one has failed
        if kind is None:
            self._finish()

    def room(self) -> None:
        """Wait until the scores of the case before are label maps, so that their memory is free."""
        if self._case:
            self._labels.result()

    def write(self, scores: Scores, prepared: Path, case: str, mark: str) -> None:
        """Begin with a case as soon as the one before is written. mark: fingerprint of what it is made from."""
        self._finish()
        geometry = read_geometry(prepared)
        self._case = case
        # the thread holds the scores no longer than it runs
        self._labels = self._pool.submit(_label_maps, scores, geometry, self._largest_component)
        self._files = self._pool.submit(_write, self._labels, geometry, self._folder, case, mark)

    def _finish(self) -> None:
        if self._case:
            self._done(self._case, self._files.result())
            self._case = ""


def _label_maps(scores: Scores, geometry: Geometry, largest_component: bool) -> tuple[Label, Label]:
    """Label maps on the prepared and on the raw grid."""
    stored, native = label_map(scores), to_native(scores, geometry)
    if largest_component:
        return largest_components(stored), largest_components(native)
    return stored, native


def _write(labels: Future[tuple[Label, Label]], geometry: Geometry, folder: Path, case: str, mark: str) -> Hashes:
    """Write one case on both grids, and after them the note of what they were made from."""
    stored, native = labels.result()
    write_nifti(folder / f"{case}.prepared.nii.gz", Volume(stored, geometry.affine))
    write_nifti(folder / f"{case}.nii.gz", Volume(native, geometry.raw_affine))
    hashes = _hashes(folder, case)
    write_json(_note(folder, case), {"made_from": mark, **hashes})
    return hashes


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


def _hashes(folder: Path, case: str) -> Hashes:
    return {name: sha256(folder / name) for name in _names(case)}


def _finished(folder: Path, case: str, mark: str) -> Hashes | None:
    """Hashes of the files of a case that an earlier call has finished from the same inputs; None where none has."""
    note, names = _note(folder, case), _names(case)
    if not note.exists() or not all((folder / name).exists() for name in names):
        return None
    hashes = _hashes(folder, case)
    return hashes if read_json(note) == {"made_from": mark, **hashes} else None
