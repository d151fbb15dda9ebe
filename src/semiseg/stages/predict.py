"""Rule ``predict``: predicts label maps of the test cases, on the prepared grid and in the raw image's geometry."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.base.files import digest, read_json, sha256, sweep, write_json
from semiseg.base.progress import Progress
from semiseg.base.volume import Volume
from semiseg.data.images import write_nifti
from semiseg.data.raw_grid import to_native
from semiseg.data.store import read_geometry, read_image, read_label
from semiseg.jobs.code_hash import code_of
from semiseg.learning import weights
from semiseg.learning.build import Runtime, build_method
from semiseg.learning.inference import slide
from semiseg.method import Method
from semiseg.params.config import Inference, Network
from semiseg.params.kinds import check_case

NEW = ".new"  # where the files of a call lie until all of them are made


def predict(spec: Mapping[str, Any], trained: Path, prepared: Path, split: Path, out: Path, runtime: Runtime) -> None:
    """Write ``predictions/<case>.nii.gz`` (raw geometry) and ``<case>.prepared.nii.gz`` beside the manifest ``out``.

    Cases that an interrupted call has finished with the same weights, data and code are kept. The files of earlier
    predictions stay until all new ones are made (in ``predictions/.new``), so a call that fails loses none of them.
    The manifest holds the hash of each file and is written last. Raises UserError for a test case that was not
    prepared.
    """
    index, cases = read_json(prepared), read_json(split)["test"]
    predictor = _predictor(spec, trained, index["classes"], runtime.device)
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
                predictor.write(prepared.parent / entry["file"], place, case)
                write_json(_note(place, case), {"made_from": mark, **_hashes(place, case)})
            files |= _hashes(place, case)
            bar.step(case=case)
    _bring_in(new, folder)
    write_json(out, {"cases": cases, "files": files})


def _bring_in(new: Path, folder: Path) -> None:
    """Move all files from ``new`` into ``folder``, in place of those with the same names."""
    if new.exists():
        for file in sorted(new.iterdir()):
            file.replace(folder / file.name)
        new.rmdir()


@dataclass(frozen=True)
class Predictor:
    """A trained method and its sliding window."""

    method: Method
    networks: tuple[str, ...]
    inference: Inference
    classes: int
    device: torch.device

    def write(self, prepared: Path, folder: Path, case: str) -> None:
        """Predict one prepared case and write it on both grids."""
        geometry = read_geometry(prepared)
        scores = self._scores(prepared)
        labels = scores.argmax(0).to(torch.uint8).numpy()
        write_nifti(folder / f"{case}.prepared.nii.gz", Volume(labels, geometry.affine))
        write_nifti(folder / f"{case}.nii.gz", Volume(to_native(scores.numpy(), geometry), geometry.raw_affine))

    @torch.no_grad()
    def _scores(self, prepared: Path) -> Tensor:
        """Mean class scores ``[k z y x]`` in host memory."""
        image = torch.from_numpy(read_image(prepared))[None]
        if self.method.oracle:  # a control gets the truth as a second channel, so that it is cut into windows, too
            image = torch.cat([image, torch.from_numpy(read_label(prepared))[None].float()])
        window, stride = self.inference.window, self.inference.stride
        return slide(self._window, image.to(self.device), self.classes, window, stride).cpu()

    def _window(self, window: Tensor) -> Tensor:
        truth = window[:, 1].long() if self.method.oracle else None
        return self.method.predict(window[:, :1], self.networks, truth)


def _predictor(spec: Mapping[str, Any], trained: Path, classes: int, device: torch.device) -> Predictor:
    """The method with its trained weights, in evaluation mode (no dropout)."""
    network = Network.model_validate(spec["network"])
    method = build_method(spec["method"], spec["hyper"], network, None, [1.0] * classes)
    tensors, note = weights.load(trained)
    for name in note["networks"]:
        method.get_submodule(name).load_state_dict(weights.part(tensors, name))
    inference = Inference.model_validate(spec["inference"])
    return Predictor(method.to(device).eval(), tuple(note["networks"]), inference, classes, device)


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
