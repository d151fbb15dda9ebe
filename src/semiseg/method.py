"""What a method is: the contract between one file of ``semiseg.methods`` and the training loop.

Shapes are written ``[b c z y x]``; the three spatial axes are those of the stored volume, whatever their order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, Self, TypeVar, overload

import torch
from torch import Tensor, nn

from semiseg import catalogue
from semiseg.base.errors import UserError

Terms = dict[str, Tensor]
T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """One training step's input. Labels of unlabelled crops do not exist here, so no method can read them.

    images: ``[b c z y x]``; labels: ``[b z y x]`` class ids (int64); unlabelled: ``[u c z y x]``.
    """

    images: Tensor
    labels: Tensor
    unlabelled: Tensor

    @property
    def everything(self) -> Tensor:
        """Labelled crops first, unlabelled after them, ``[b+u c z y x]``."""
        return torch.cat([self.images, self.unlabelled])

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device, copied without waiting when the memory is pinned."""
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

    def pin_memory(self) -> "Batch":
        """The same batch in pinned memory; torch's loader calls this."""
        return Batch(*(getattr(self, field.name).pin_memory() for field in fields(self)))


@dataclass(frozen=True)
class TrainingTime:
    """Where training stands. Counters are read BEFORE the step and start at 0; ``ramp`` is the protocol's in [0, 1]."""

    iteration: int
    iterations: int
    epoch: int
    epochs: int
    ramp: float


@dataclass(frozen=True)
class Context:
    """What the engine hands to a method when it is built.

    classes: number of classes K, background included.
    network: builds one backbone of the protocol; arguments: initialisation ``"default" | "kaiming" | "xavier"``,
        channels of its head.
    supervised: the protocol's supervised loss of (logits ``[b k z y x]``, labels ``[b z y x]``).
    labelled_voxels: ``[k]`` float64, voxels of each class in the labelled training volumes.
    """

    classes: int
    network: Callable[[str, int], nn.Module]
    supervised: Callable[[Tensor, Tensor], Tensor]
    labelled_voxels: Tensor


@dataclass(frozen=True)
class Adam:
    """Optimiser of an opponent: Adam at a constant rate, without weight decay."""

    lr: float
    betas: tuple[float, float]


class Hyper(Generic[T]):
    """A hyperparameter of a method; ``self.<name>`` is the value of this run, of the default's type.

    default: the value where params.yaml gives none. meaning: one line. source: where the default is from. choices: the
    allowed values if there are few.
    """

    def __init__(self, default: T, meaning: str, source: str, choices: tuple[T, ...] = ()) -> None:
        self.default, self.meaning, self.source, self.choices = default, meaning, source, choices

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: "Method", owner: type) -> T: ...

    def __get__(self, instance: "Method | None", owner: type) -> Self | T:
        if instance is None:
            return self
        value: T = instance.hyper.get(self.name, self.default)
        return value


class Method(nn.Module):
    """Base of all methods. ``state_dict`` holds the WHOLE training state, so a resumed run continues bit for bit.

    Class attributes say what the engine provides:

    networks: name -> initialisation of each trained network, built as an attribute of that name.
    teachers: name -> network it follows; built with its own random weights and without gradients.
    inference_networks: the networks that speak at inference.
    labelled_only: the whole batch is labelled crops (supervised rows).
    oracle: whether ``predict`` is shown the truth (controls only).

    What a method asks of a protocol; the planner leaves out rows whose protocol cannot serve it, and says why:

    equal_halves: as many unlabelled crops in a step as labelled ones.
    cubes: name of the hyperparameter with the side in voxels of cubes that must fill the crop, n >= 2 of them on its
        second axis, n dividing every side.
    """

    networks: Mapping[str, str] = {}
    teachers: Mapping[str, str] = {}
    inference_networks: tuple[str, ...] = ()
    labelled_only: bool = False
    oracle: bool = False
    equal_halves: bool = False
    cubes: str = ""

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__()
        known = hyperparameters(type(self))
        for name, value in hyper.items():
            if name not in known:
                raise UserError(
                    f"{type(self).__name__} has no parameter {name!r}; it has: {', '.join(known) or 'none'}"
                )
            if known[name].choices and value not in known[name].choices:
                allowed = ", ".join(map(str, known[name].choices))
                raise UserError(f"{type(self).__name__}.{name} must be one of {allowed}; found {value!r}")
        self.hyper = hyper
        self.context = context
        for name, initialisation in self.networks.items():
            self.add_module(name, context.network(initialisation, self.output_channels))
        for name, followed in self.teachers.items():
            self.add_module(name, context.network(self.networks[followed], self.output_channels).requires_grad_(False))

    @property
    def output_channels(self) -> int:
        """Channels of the networks' heads: one per class, unless a method says otherwise."""
        return self.context.classes

    @property
    def trained(self) -> bool:
        """Whether the method has trainable parameters. Controls have none."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Unweighted loss terms by name, in the paper's order; every term must reach a trained network."""
        raise NotImplementedError

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Weight of each term of ``losses`` at this moment; a term that is not named weighs 1."""
        return {}

    def adversaries(self) -> Mapping[str, Adam]:
        """Modules with an optimiser of their own (discriminators), by attribute name. They rest during ``losses``."""
        return {}

    def adversary_losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Terms that train the adversaries alone, after the networks' step on the same batch; each weighs 1."""
        raise NotImplementedError

    def after_step(self, time: TrainingTime) -> None:
        """Moving averages and other updates without gradient, after all optimisers' steps."""

    def predict(self, image: Tensor, networks: tuple[str, ...], truth: Tensor | None = None) -> Tensor:
        """Class probabilities ``[b k z y x]`` of a window ``[b c z y x]``: softmax of the networks' mean logits.

        truth: class ids ``[b z y x]``, given to methods with ``oracle`` alone.
        """
        logits = torch.stack([self.get_submodule(name)(image) for name in networks])
        return logits.mean(0).softmax(1)


def total(terms: Terms, weights: Mapping[str, float]) -> Tensor:
    """Weighted sum of the terms, a scalar."""
    return sum((term * weights.get(name, 1.0) for name, term in terms.items()), start=torch.zeros(()))


def hyperparameters(method: type[Method]) -> dict[str, Hyper[Any]]:
    """Declared hyperparameters by name, base classes first."""
    return {
        name: value
        for owner in reversed(method.__mro__)
        for name, value in vars(owner).items()
        if isinstance(value, Hyper)
    }


def method_class(name: str) -> type[Method]:
    """The one ``Method`` that the file ``semiseg/methods/<name>.py`` defines; import errors are raised."""
    return catalogue.load_class("methods", name, Method)
