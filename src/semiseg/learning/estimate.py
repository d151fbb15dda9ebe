"""Estimated cost of a training step, counted on steps with small crops, and estimated size of a prepared case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.flop_counter import flop_registry

from semiseg import catalogue
from semiseg.base.controls import is_control
from semiseg.base.files import digest, read_json, write_json
from semiseg.jobs.code_hash import code_hash
from semiseg.learning.build import build_method
from semiseg.method import Batch, Method, TrainingTime, total
from semiseg.params.config import Network, Training

SMALL = ((1, 1, 2), (1, 2, 2))  # sides of the two crops that are counted, in steps of what the network takes
CUBES = ((1, 2, 1), (1, 2, 2))  # and in cubes, for a method that cuts crops into cubes
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

    One step with one labelled and one unlabelled crop is counted, for two sizes of small crops. The part that grows
    with the size is scaled to the protocol's batch and crop; the rest (weights, terms on a fixed number of voxels) is
    not. Counts are stored in the folder ``kept``, by method, parameters and code. A control has no steps.
    """
    if is_control(spec["method"]):
        return Work(0.0, 0.0, 0)
    modules = (f"semiseg.methods.{spec['method']}", f"semiseg.networks.{spec['network']['name']}")
    key = digest(
        [spec["method"], spec["hyper"], spec["network"], classes, code_hash("semiseg.learning.estimate", *modules)]
    )
    file = kept / f"{key}.json"
    crops = _crops(spec)
    if not file.exists():
        write_json(file, [asdict(count(spec, classes, crop)) for crop in crops])
    small, large = (Work(**each) for each in read_json(file))
    training, sizes = Training.model_validate(spec["training"]), [2 * prod(crop) for crop in crops]
    voxels = (training.batch.labelled + training.batch.unlabelled) * prod(training.patch)
    steps = (voxels - sizes[0]) / (sizes[1] - sizes[0])
    operations, memory = (
        getattr(small, name) + steps * (getattr(large, name) - getattr(small, name))
        for name in ("operations", "memory")
    )
    return Work(operations, memory, small.parameters)


def _crops(spec: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """The two sizes of crops that are counted, in voxels: the smallest that serve network and method."""
    cubes = catalogue.declared(spec["method"]).get("cubes")
    if cubes:
        side = spec["hyper"].get(cubes, catalogue.hyperparameters(spec["method"])[cubes].default)
    else:
        side = catalogue.declared(spec["network"]["name"], "networks")["divisor"]
    return [tuple(side * factor for factor in crop) for crop in (CUBES if cubes else SMALL)]


def count(spec: Mapping[str, Any], classes: int, crop: Sequence[int], *, real: bool = False) -> Work:
    """The work of one step with one labelled and one unlabelled crop of this size.

    real: do the large operations too, which are left out else: their work follows from the shapes of their inputs.
    """
    training, network = Training.model_validate(spec["training"]), Network.model_validate(spec["network"])
    torch.manual_seed(0)
    kept, operations = _Kept(), _Operations(real)
    with operations:
        method = build_method(spec["method"], spec["hyper"], network, training, [1.0] * classes).train()
    labels = torch.randint(classes, (1, *crop))
    images = torch.randn(2, 1, *crop)
    batch = Batch(images, labels.repeat(2, 1, 1, 1), images[:0]) if method.labelled_only else None
    late = TrainingTime(iteration=10**6 - 1, iterations=10**6, epoch=999, epochs=1000, ramp=1.0)
    with operations, torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor):
        _step(method, batch or Batch(images[:1], labels, images[1:]), late)
    parameters = sum(each.numel() for each in method.parameters() if each.requires_grad)
    weights = sum(each.numel() * each.element_size() for each in method.state_dict().values())
    own = {each.data_ptr() for each in method.state_dict().values()}
    activations = sum(size for pointer, size in kept.sizes.items() if pointer not in own)
    memory = activations + weights + BYTES * (COPIES - 1) * parameters
    return Work(float(operations.total), float(memory), parameters)


def _step(method: Method, batch: Batch, time: TrainingTime) -> None:
    total(method.losses(batch, time), method.weights(time)).backward()  # type: ignore[no-untyped-call]
    if method.adversaries():
        total(method.adversary_losses(batch, time), {}).backward()  # type: ignore[no-untyped-call]


aten = torch.ops.aten
LARGE = {
    *(aten.convolution, aten.convolution_backward, aten.mm, aten.bmm, aten.addmm, aten.baddbmm),
    *(aten.native_batch_norm, aten.native_batch_norm_backward),
    *(aten.upsample_trilinear3d, aten.upsample_trilinear3d_backward),
    *(aten.max_pool3d_with_indices, aten.max_pool3d_with_indices_backward),
}
DRAWN = {aten.normal_, aten.uniform_}
MANY = 10**5  # values: smaller tensors are drawn, as methods read some of them
TYPES = {torch.float32: np.float32, torch.float64: np.float64, torch.int64: np.int64}


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations, and leaves out the large ones: their results are zeros of the right shape.

    The results of convolutions with 1 x 1 x 1 kernels, which are logits and embeddings, are random numbers, because
    methods choose voxels by them.
    """

    # Operation and shapes of its inputs -> work, results without content
    known: ClassVar[dict[Any, tuple[int, Any]]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False, because for True torch loads its compiler, which takes longer than the counts."""
        return False

    def __init__(self, real: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total, self.real = 0, real

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, packet = kwargs or {}, func._overloadpacket
        if packet in DRAWN and not self.real and args[0].numel() > MANY:
            return args[0].zero_()  # weights, which no operation that is done here reads
        if packet not in LARGE and packet not in flop_registry:
            return func(*args, **kwargs)
        key = (func, tuple(map(_shape, tree_flatten((args, kwargs))[0])))
        if key not in self.known:
            bare = _on_tensors(lambda tensor: tensor.to("meta"), (args, kwargs))
            results = func(*bare[0], **bare[1])
            work = flop_registry[packet](*args, **kwargs, out_val=results) if packet in flop_registry else 0
            self.known[key] = work, results
        work, results = self.known[key]
        self.total += work
        if self.real or packet not in LARGE:
            return func(*args, **kwargs)
        is_pointwise = packet is aten.convolution and prod(args[1].shape[2:]) == 1
        return _on_tensors(_normal if is_pointwise else _zeros, results)


def _on_tensors(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    """Values, however they are nested, with a function applied to the tensors among them."""
    return tree_map(lambda value: function(value) if isinstance(value, Tensor) else value, values)


def _normal(bare: Tensor) -> Tensor:
    """Random numbers in a bare tensor's shape."""
    return torch.randn(bare.shape, dtype=bare.dtype)


def _zeros(bare: Tensor) -> Tensor:
    """Zeros of a bare tensor's shape, which take no time until they are read."""
    return torch.from_numpy(np.zeros(bare.shape, TYPES[bare.dtype]))


def _shape(value: Any) -> Any:
    """What the work of an operation depends on: the shape of a tensor, the value of anything else."""
    return (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else value


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
