"""Rule ``predict``: label maps of the test cases, on the prepared grid and in the raw image's geometry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semiseg import weights
from semiseg.config import Inference, Network
from semiseg.errors import UserError
from semiseg.files import read_json, sha256, write_json
from semiseg.geometry import to_native
from semiseg.inference import slide
from semiseg.lineage import code_hash, digest
from semiseg.method import Method
from semiseg.progress import Progress
from semiseg.store import read_geometry, read_image, read_label
from semiseg.training.loop import Machine, build_method
from semiseg.volume import Volume, write_nifti


def predict(
    spec: Mapping[str, Any], trained: Path, prepared: Path, split: Path, out: Path, machine: Machine
) -> None:
    """Write ``predictions/<case>.nii.gz`` (raw geometry) and ``<case>.prepared.nii.gz`` beside the manifest ``out``.

    Cases that an interrupted call has finished with the same weights, data and code are kept. The manifest, with a hash
    per file, comes last.
    """
    index, cases = read_json(prepared), read_json(split)["test"]
    inference = Inference.model_validate(spec["inference"])
    network = Network.model_validate(spec["network"])
    method = build_method(spec["method"], spec["hyper"], network, None, [1.0] * index["classes"])
    tensors, note = weights.load(trained)
    networks = tuple(note["networks"])
    for name in networks:
        method.get_submodule(name).load_state_dict(weights.part(tensors, name))
    method.to(machine.device).eval()
    folder = out.parent / "predictions"
    modules = ("semiseg.stages.predict", f"semiseg.methods.{spec['method']}", f"semiseg.networks.{network.name}")
    base = [spec, sha256(trained), code_hash(*modules)]
    files = {}
    with Progress(f"predict {spec['method']}", len(cases), "case") as bar:
        for case in cases:
            if case not in index["cases"]:
                raise UserError(f"test case {case} is not among the prepared cases of {prepared}: prepare it first")
            entry = index["cases"][case]
            mark = digest([*base, entry])
            if not _finished(folder, case, mark):
                _one(method, networks, inference, index["classes"], prepared.parent / entry["file"], folder, case, machine)
                write_json(folder / f".{case}.json", {"made_from": mark, **_hashes(folder, case)})
            files |= _hashes(folder, case)
            bar.step(case=case)
    write_json(out, {"cases": cases, "files": files})


def _one(
    method: Method,
    networks: tuple[str, ...],
    inference: Inference,
    classes: int,
    file: Path,
    folder: Path,
    case: str,
    machine: Machine,
) -> None:
    """Predict one case and write it on both grids."""
    geometry = read_geometry(file)
    image = torch.from_numpy(read_image(file))[None]
    if method.oracle:  # a control is shown the truth as a second channel, window by window
        image = torch.cat([image, torch.from_numpy(read_label(file))[None].float()])

    @torch.no_grad()
    def scores_of(window: Tensor) -> Tensor:
        truth = window[:, 1].long() if method.oracle else None
        return method.predict(window[:, :1], networks, truth)

    scores = slide(scores_of, image.to(machine.device), classes, inference.window, inference.stride).cpu()
    labels = scores.argmax(0).to(torch.uint8).numpy()
    write_nifti(folder / f"{case}.prepared.nii.gz", Volume(labels, geometry.affine))
    write_nifti(folder / f"{case}.nii.gz", Volume(to_native(scores.numpy(), geometry), geometry.raw_affine))


def _hashes(folder: Path, case: str) -> dict[str, str]:
    return {name: sha256(folder / name) for name in (f"{case}.nii.gz", f"{case}.prepared.nii.gz")}


def _finished(folder: Path, case: str, mark: str) -> bool:
    """Whether an earlier call left this case whole and from the same inputs."""
    note = folder / f".{case}.json"
    names = (f"{case}.nii.gz", f"{case}.prepared.nii.gz")
    if not note.exists() or not all((folder / name).exists() for name in names):
        return False
    return bool(read_json(note) == {"made_from": mark, **_hashes(folder, case)})
