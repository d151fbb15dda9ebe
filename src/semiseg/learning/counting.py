"""The work of a training step, counted while a step with small crops runs. What is slow and large is left out of it."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.flop_counter import flop_registry

from semiseg.learning.batches import derived_maps
from semiseg.learning.build import Facts, build_method
from semiseg.learning.precision import Precision
from semiseg.learning.work import BYTES, COPIES, Work
from semiseg.method import Batch, Method, TrainingTime, total
from semiseg.params.config import BatchSize, Network, Training


def count(spec: Mapping[str, Any], classes: int, crop: Sequence[int], *, real: bool = False) -> Work:
    """The work of one step with one labelled and one unlabelled crop of this size.

    real: do the large operations too, which are left out else: their work follows from the shapes of their inputs.
    """
    return _count(spec, classes, crop, BatchSize(labelled=1, unlabelled=1), real)


def count_whole(spec: Mapping[str, Any], classes: int) -> Work:
    """The work of a step with the protocol's batch, on tensors without content: for a method ``counted_whole``."""
    training = Training.model_validate(spec["training"])
    with torch.device("meta"):
        return _count(spec, classes, training.patch, training.batch, real=True)


def _count(spec: Mapping[str, Any], classes: int, crop: Sequence[int], size: BatchSize, real: bool) -> Work:
    operations = _Operations(real)
    with operations:
        method = _built(spec, classes, crop).train()
        rows = size.labelled + size.unlabelled
        known = rows if method.labelled_only else size.labelled
        labels = torch.randint(classes, (1, *crop)).repeat(known, 1, 1, 1)
        labelled, unlabelled = torch.randn(rows, 1, *crop).tensor_split([known])
        first, second = torch.zeros(rows, 4, dtype=torch.int64).tensor_split([known])
        others, shifts = torch.randn(rows, 1, *crop), torch.zeros(rows, 3, dtype=torch.int64)
    maps = derived_maps(method.derive, unlabelled)
    batch = Batch(labelled, labels, unlabelled, first, second, maps, others, shifts)
    late = TrainingTime(iteration=10**6 - 1, iterations=10**6, epoch=999, epochs=1000, ramp=1.0)
    precision = Precision.of(Training.model_validate(spec["training"]), torch.device("cpu"))
    with operations, precision.autocast(torch.device("cpu")):
        kept = [_backward(lambda: total(method.losses(batch, late), method.weights(late)))]
        if method.adversaries():
            kept.append(_backward(lambda: total(method.adversary_losses(batch, late), {})))
    parameters = _parameters(method)
    placed = {name: each for name, each in method.state_dict().items() if method.large_state.get(name) != "cpu"}
    weights = sum(each.numel() * each.element_size() for each in placed.values())
    own = {_storage(each) for each in method.state_dict().values()}
    activations = max(sum(size for pointer, size in sizes.items() if pointer not in own) for sizes in kept)
    memory = activations + weights + BYTES * (COPIES - 1) * parameters
    kept_networks = (method.get_submodule(name).state_dict() for name in method.inference_networks)
    stored = sum(each.numel() * each.element_size() for state in kept_networks for each in state.values())
    return Work(float(operations.total), float(memory), parameters, stored)


def count_parameters(spec: Mapping[str, Any], classes: int, crop: Sequence[int]) -> int:
    """Trained parameters of a method for crops of this size, whose weights may depend on it."""
    with _Operations(real=False):
        return _parameters(_built(spec, classes, crop))


def _built(spec: Mapping[str, Any], classes: int, crop: Sequence[int]) -> Method:
    training, network = Training.model_validate(spec["training"]), Network.model_validate(spec["network"])
    torch.manual_seed(0)
    z, y, x = crop
    facts = Facts([[1.0] * classes], 4, (z, y, x), (z, y, x))  # cases enough for a method that keeps something of them
    return build_method(spec["method"], spec["hyper"], network, training, facts, spec.get("wrapped"))


def _parameters(method: Method) -> int:
    return sum(each.numel() for each in method.parameters() if each.requires_grad)


def _storage(tensor: Tensor) -> int:
    """Identity of a tensor's storage; its address would be 0 for all tensors without content."""
    return int(tensor.untyped_storage()._cdata)


def _backward(loss: Callable[[], Tensor]) -> dict[int, int]:
    """Descend on a loss. Returns the sizes in bytes of the storages that its backward pass needs, each counted once."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        sizes[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss().backward()  # type: ignore[no-untyped-call]
    return sizes


aten = torch.ops.aten
LARGE = {
    *(aten.convolution, aten.convolution_backward, aten.mm, aten.bmm, aten.addmm, aten.baddbmm),
    *(aten.native_batch_norm, aten.native_batch_norm_backward),
    *(aten.upsample_trilinear3d, aten.upsample_trilinear3d_backward),
    *(aten.max_pool3d_with_indices, aten.max_pool3d_with_indices_backward),
}
DRAWN = {aten.normal_, aten.uniform_}
MANY = 10**5  # values: smaller tensors are drawn, as methods read some of them
TYPES = {torch.float32: np.float32, torch.float64: np.float64, torch.int64: np.int64, torch.bfloat16: np.int16}


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
        if packet in DRAWN and args[0].is_meta:
            return args[0]
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
    return torch.from_numpy(np.zeros(bare.shape, TYPES[bare.dtype])).view(bare.dtype)  # numpy has no bfloat16


def _shape(value: Any) -> Any:
    """What the work of an operation depends on: the shape of a tensor, the value of anything else."""
    return (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else value
