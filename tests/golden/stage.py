"""What adapters share: a method whose networks say given logits, and the protocol's clock. No method's formula."""

from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks.losses import SUPERVISED
from semiseg.learning.schedule import TrainingSchedule
from semiseg.method import Batch, Context, Method, TrainingTime, method_class
from semiseg.params.config import Ramp, Training


class Speaker(nn.Module):
    """A network that says the given outputs, one per call, whatever it hears; decoder features likewise."""

    def __init__(self, *outputs: Tensor, features: Tensor | None = None) -> None:
        super().__init__()
        self.outputs, self.feature = list(outputs), features

    def features(self, image: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, None, self.feature)

    def head(self, feature: Tensor) -> Tensor:
        return self.outputs.pop(0)

    def forward(self, image: Tensor) -> Tensor:
        return self.outputs.pop(0)


class Holder(nn.Module):
    """A network that is one parameter."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value.clone())


def cast(
    name: str,
    rule: str,
    classes: int,
    networks: dict[str, nn.Module],
    voxels: Tensor | None = None,
    patch: tuple[int, int, int] = (16, 16, 16),
    unlabelled_cases: int = 4,
    **hyper: Any,
) -> Method:
    """The method with these networks in place of its own.

    voxels: per class, or per labelled case and class; patch: sides of crops and windows.
    """
    counts = torch.ones(classes) if voxels is None else voxels
    context = Context(
        classes=classes,
        network=lambda *_, **__: nn.Identity(),
        supervised=SUPERVISED[rule],
        labelled_voxels=torch.atleast_2d(counts.double()),
        unlabelled_cases=unlabelled_cases,
        patch=patch,
        window=patch,
    )
    method = method_class(name)(context, **hyper)
    for role, network in networks.items():
        setattr(method, role, network)
    return method


def batch(labels: Tensor, rows: int) -> Batch:
    """Labelled crops with these labels ``[b z y x]``, unlabelled ones to make ``rows``; the images are empty."""
    image = torch.zeros(rows, 1, *labels.shape[1:])
    return Batch(image[: len(labels)], labels, image[len(labels) :])


def clock(time: int, length: int, ramp: Ramp, by: str = "iteration") -> TrainingTime:
    """The engine's clock before iteration or epoch ``time`` of ``length``."""
    training = Training.model_construct(iterations=length, epochs=None, ramp=ramp)
    return TrainingSchedule(training, 1 if by == "epoch" else 150).time(time)


def at(time: int, length: int = 1, ramp: float = 1.0) -> TrainingTime:
    """A moment with iteration and epoch both at ``time`` of ``length``, and the weight ramp at the given value."""
    return TrainingTime(time, length, time, length, ramp)
