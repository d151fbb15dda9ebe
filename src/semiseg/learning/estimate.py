"""Estimated cost of a training step, counted on real steps with small crops, and estimated size of a prepared case."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from semiseg.base.files import digest, read_json, write_json
from semiseg.jobs.code_hash import code_hash
from semiseg.learning.build import build_method
from semiseg.method import Batch, Method, TrainingTime, total
from semiseg.params.config import Network, Training

CROPS = ((32, 64, 64), (64, 64, 64))  # several cubes of 32 voxels: the smallest crops that serve every method
BYTES = 4  # of a float32 number
COPIES = 3  # of a trained parameter on the GPU: itself, its gradient, its momentum


@dataclass(frozen=True)
class Work:
    """Work of one training step: floating-point operations (forward and backward), bytes on the GPU, parameters."""

    operations: float
    memory: float
    parameters: int


def work(spec: Mapping[str, Any], classes: int, kept: Path) -> Work:
    """The work of one step of a run (``Specs.train``'s specification) with this many classes.

    One step with one labelled and one unlabelled crop is counted on the CPU, for two sizes of crops. The part that
    grows with the size is scaled to the protocol's batch and crop; the rest (weights, terms on a fixed number of
    voxels) is not. Counts are stored in the folder ``kept``, by method, parameters and code.
    """
    modules = (f"semiseg.methods.{spec['method']}", f"semiseg.networks.{spec['network']['name']}")
    key = digest(
        [spec["method"], spec["hyper"], spec["network"], classes, code_hash("semiseg.learning.estimate", *modules)]
    )
    file = kept / f"{key}.json"
    if not file.exists():
        write_json(file, [asdict(_count(spec, classes, crop)) for crop in CROPS])
    small, large = (Work(**each) for each in read_json(file))
    training, sizes = Training.model_validate(spec["training"]), [2 * prod(crop) for crop in CROPS]
    voxels = (training.batch.labelled + training.batch.unlabelled) * prod(training.patch)
    steps = (voxels - sizes[0]) / (sizes[1] - sizes[0])
    operations, memory = (
        getattr(small, name) + steps * (getattr(large, name) - getattr(small, name))
        for name in ("operations", "memory")
    )
    return Work(operations, memory, small.parameters)


def _count(spec: Mapping[str, Any], classes: int, crop: tuple[int, int, int]) -> Work:
    training, network = Training.model_validate(spec["training"]), Network.model_validate(spec["network"])
    torch.manual_seed(0)
    method = build_method(spec["method"], spec["hyper"], network, training, [1.0] * classes).train()
    if not method.trained:
        return Work(0.0, 0.0, 0)
    labels = torch.randint(classes, (1, *crop))
    images = torch.randn(2, 1, *crop)
    batch = Batch(images, labels.repeat(2, 1, 1, 1), images[:0]) if method.labelled_only else None
    late = TrainingTime(iteration=10**6 - 1, iterations=10**6, epoch=999, epochs=1000, ramp=1.0)
    kept = _Kept()
    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor):
        _step(method, batch or Batch(images[:1], labels, images[1:]), late)
    parameters = sum(each.numel() for each in method.parameters() if each.requires_grad)
    weights = sum(each.numel() * each.element_size() for each in method.state_dict().values())
    own = {each.data_ptr() for each in method.state_dict().values()}
    activations = sum(size for pointer, size in kept.sizes.items() if pointer not in own)
    memory = activations + weights + BYTES * (COPIES - 1) * parameters
    return Work(float(counter.get_total_flops()), float(memory), parameters)


def _step(method: Method, batch: Batch, time: TrainingTime) -> None:
    total(method.losses(batch, time), method.weights(time)).backward()  # type: ignore[no-untyped-call]
    if method.adversaries():
        total(method.adversary_losses(batch, time), {}).backward()  # type: ignore[no-untyped-call]


class _Kept:
    """Sizes in bytes of the storages that a backward pass keeps, each counted once."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self.sizes[storage.data_ptr()] = storage.nbytes()
        return tensor


def prepared_voxels(shape: Sequence[float], spacing: Sequence[float], steps: Sequence[Mapping[str, Any]]) -> float:
    """Largest number of voxels of a case after a preparation; crops are ignored, because they depend on the case.

    shape (voxels) and spacing (mm) along x, y, z; steps as in params.yaml.
    """
    sides = list(map(float, shape))
    for step in steps:
        if step["step"] != "resample":
            continue
        if step.get("shape"):
            sides = list(map(float, step["shape"]))
        elif step.get("spacing"):
            sides = [side * old / new for side, old, new in zip(sides, spacing, step["spacing"], strict=True)]
        else:
            factor = step["factor"]
            factors = factor if isinstance(factor, list | tuple) else [factor] * 3
            sides = [side * each for side, each in zip(sides, factors, strict=True)]
    return prod(sides)
