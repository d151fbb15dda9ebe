"""What adapters share: a method whose networks say given logits, and the protocol's clock. No method's formula."""

from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import SUPERVISED
from semiseg.learning.schedule import TrainingSchedule
from semiseg.method import Batch, Context, Method, Terms, TrainingTime, method_class, total
from semiseg.methods.parts.co_training import View
from semiseg.network import build
from semiseg.params.config import Ramp, Training


class Speaker(nn.Module):
    """A network that says the given outputs, one per call, whatever it hears; decoder features likewise."""

    def __init__(self, *outputs: Tensor, features: Tensor | None = None) -> None:
        super().__init__()
        self.outputs, self.feature = list(outputs), features

    def encode(self, image: Tensor) -> list[Tensor]:
        return [image]

    def decode(self, maps: list[Tensor]) -> tuple[Tensor | None, ...]:
        return (None, None, None, self.feature)

    def features(self, image: Tensor) -> tuple[Tensor | None, ...]:
        return self.decode(self.encode(image))

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
    filters: int = 0,
    **hyper: Any,
) -> Method:
    """The method with these networks in place of its own. filters: those of a V-Net of its own, where it needs one.

    voxels: per class, or per labelled case and class; patch: sides of crops and windows.
    """
    counts = torch.ones(classes) if voxels is None else voxels
    context = Context(
        classes=classes,
        network=lambda rule, k, *_: build("vnet", 1, k, rule, filters=filters) if filters else nn.Identity(),
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


def counted_weights(name: str, i: dict[str, Any], p: dict[str, Any]) -> dict[str, Any]:
    """Class weights of network b, at first and after each step, of a method that counts what its networks predict."""
    method: Any = cast(
        name, "ce_dice_organs", p["num_classes"], {}, _counts(i, p["num_classes"]), momentum=p["momentum"]
    )
    found: dict[str, Any] = {"init": method.weights_b, "after_each_step": []}
    for logits in i["logits"]:
        method.weights_b = method.updated("b", logits.argmax(1))
        found["after_each_step"].append(method.weights_b)
    return found


def counted_step(name: str, i: dict[str, Any], p: dict[str, Any]) -> dict[str, Any]:
    """Class weights, terms and total of a whole step of such a method with given logits."""
    counts, hyper = _counts(i, i["logits_A"].shape[1]), {"momentum": p["momentum"], "weight": p["cps_w"]}
    method: Any = cast(name, "ce_dice_organs", len(counts), {}, counts, **hyper)
    terms = co_training_step(method, i, p)
    return {"weight_A": method.weights_a, "weight_B": method.weights_b, **terms}


def views(method: Any, labelled: int, a: Tensor, b: Tensor) -> tuple[View, View]:
    """The views of two networks that give these logits, the first ``labelled`` rows with labels."""
    method.a, method.b = Speaker(a), Speaker(b)
    return method.view("a", a, labelled, at(0)), method.view("b", b, labelled, at(0))


def co_training_step(ours: Any, i: dict[str, Any], p: dict[str, Any]) -> dict[str, Tensor]:
    """Terms and total of a whole step of two networks that give the logits of a case."""
    ours.a, ours.b = Speaker(i["logits_A"]), Speaker(i["logits_B"])
    labels = i["label"].squeeze(1)[: p["labelled_rows"]]
    return co_training(ours, ours.losses(batch(labels, len(i["logits_A"])), at(0)))


def co_training(method: Method, terms: Terms) -> dict[str, Tensor]:
    """Terms of two networks that supervise each other, under the names of the DHC line's cases."""
    return {
        "sup": terms["supervised_a"] + terms["supervised_b"],
        "cps": terms["cross_a"] + terms["cross_b"],
        "total": total(terms, method.weights(at(0))),
    }


def _counts(i: dict[str, Any], classes: int) -> Tensor:
    return class_counts(i["volume"].unsqueeze(0), classes).sum(0)
