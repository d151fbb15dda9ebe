"""What fits together: crops and networks, protocols and methods, splits and protocols.

The planner imports this file, so it imports no torch: networks and methods declare their requirements as plain values,
which are read from the text of their files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from semiseg import catalogue
from semiseg.base import network_checks, sources
from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.names import unknown
from semiseg.base.texts import times
from semiseg.graph.sides import sides_do_not_fit
from semiseg.params.config import Inference, Network, Training

SAM = "sam"  # a network of two dimensions, and the requirement of the methods that are built on it


def check_declared(method: str) -> None:
    """Raise UserError for what the class of a method declares and no training could use, as far as it is written out.

    These are an initialisation, network, start of teachers or requirement that does not exist, and networks that
    predict but are neither declared nor set by a function of the class.
    """
    if is_control(method):
        return
    written, where = catalogue.declared(method), sources.shown(sources.PACKAGE / "methods" / f"{method}.py")
    networks, teachers = written.get("networks"), written.get("teachers")
    network_checks.check_networks(where, networks, teachers, written.get("teacher_start"))
    _check_requirements(where, method)
    predicting, attributes = written.get("inference_networks"), catalogue.attributes(method)
    if predicting is None or attributes is None or networks is None or teachers is None:
        return
    if "inference_networks" not in attributes and not catalogue.overrides(method, "inference_networks"):
        own = sorted(set(predicting) & attributes) if isinstance(predicting, tuple) else []
        network_checks.check_predicting(where, predicting, [*networks, *teachers, *own])


@dataclass(frozen=True)
class Pairing:
    """A method and the protocol that is to train it. hyper: the row's deviations from the method's defaults.

    classes: of the dataset, the background among them.
    wrapped: the method that this one wraps, and its ``hyper``, as in ``Specs.train``; None where it wraps none.
    pretrained: whether the training starts from the weights of another run.
    scaled: whether the scans are scaled to 0..1; True in a training, because the planner has checked it.
    """

    method: str
    hyper: Mapping[str, Any]
    classes: int
    network: Network
    training: Training
    inference: Inference
    wrapped: Mapping[str, Any] | None = None
    pretrained: bool = False
    scaled: bool = True

    def value(self, hyperparameter: str) -> Any:
        """The value of a hyperparameter in this pair."""
        return self.hyper.get(hyperparameter, catalogue.hyperparameters(self.method)[hyperparameter].default)

    @property
    def divisor(self) -> int:
        """Voxels of a side of a crop per voxel of the deepest map of the protocol's network."""
        return int(catalogue.declared(self.network.name, "networks")["divisor"])


def _equal_halves(pair: Pairing, _: str) -> str | None:
    batch = pair.training.batch
    if batch.labelled == batch.unlabelled:
        return None
    return (
        f"{pair.method} pairs labelled with unlabelled crops, but the protocol takes {batch.labelled} and"
        f" {batch.unlabelled} in a step"
    )


def _cubes(pair: Pairing, name: str) -> str | None:
    patch, side = pair.training.patch, pair.value(name)
    number = patch[1] // side
    if not any(length % side for length in patch) and number >= 2 and not any(x % number for x in patch):
        return None
    return (
        f"{pair.method} cuts crops into cubes of {side} voxels ({name}), n >= 2 of them on the second axis, and"
        f" exchanges n parts on every axis; crops of {times(patch)} cannot be cut so"
    )


def _several_scales(pair: Pairing, _: str) -> str | None:
    if catalogue.overrides(pair.network.name, "outputs", "networks"):
        return None
    return f"{pair.method} compares outputs at several scales, but {pair.network.name} has one output"


def _further_decoders(pair: Pairing, _: str) -> str | None:
    if catalogue.overrides(pair.network.name, "build_decoder", "networks"):
        return None
    return f"{pair.method} needs further decoders, but {pair.network.name} builds none"


def _even_bottleneck(pair: Pairing, _: str) -> str | None:
    for what, sides in {"crops": pair.training.patch, "windows": pair.inference.window}.items():
        if any(side % (2 * pair.divisor) for side in sides):
            return (
                f"{pair.method} divides the deepest map into blocks of 2 x 2 x 2 voxels, so sides of {what} must be"
                f" multiples of {2 * pair.divisor}; found {times(sides)}"
            )
    return None


def _superpixels(pair: Pairing, name: str) -> str | None:
    (_, *sides), voxels = pair.training.patch, pair.value(name)
    if 1 <= voxels <= prod(sides):
        return None
    return (
        f"{pair.method} divides slices of {times(tuple(sides))} voxels into superpixels, so {name} must be from 1 to"
        f" {prod(sides)}; found {voxels}"
    )


def _window_is_patch(pair: Pairing, _: str) -> str | None:
    patch, window = pair.training.patch, pair.inference.window
    if patch == window:
        return None
    return (
        f"{pair.method} has weights for one size of crop, but the protocol trains on {times(patch)} voxels and"
        f" predicts windows of {times(window)}"
    )


def _two_classes(pair: Pairing, name: str) -> str | None:
    if pair.value(name) != "foreground" or pair.classes == 2:
        return None
    return f"{pair.method} with {name} foreground is for 2 classes, and this task has {pair.classes}"


def _binary(pair: Pairing, _: str) -> str | None:
    if pair.classes == 2:
        return None
    return f"{pair.method} separates one organ from the background, and this task has {pair.classes} classes"


def _sam(pair: Pairing, _: str) -> str | None:
    if pair.network.name == SAM:
        return None
    return f"{pair.method} is built on SAM, but the protocol's network is {pair.network.name}: name {SAM} there"


def _pretrained(pair: Pairing, _: str) -> str | None:
    if pair.pretrained:
        return None
    return f"{pair.method} starts from the weights of a pre-training, but the protocol names none (initial)"


def _scaled_intensities(pair: Pairing, name: str) -> str | None:
    if pair.scaled:
        return None
    return (
        f"{pair.method} clips images to 0..1 ({name}), but the protocol leaves intensities as they are stored: set"
        f" intensities: minmax in the protocol, or {name}: false"
    )


def _second_crops(pair: Pairing, _: str) -> str | None:
    if pair.training.augmentation.second is not None:
        return None
    return f"{pair.method} compares two crops of each scan, but the protocol cuts one: set second in its augmentation"


@dataclass(frozen=True)
class Requirement:
    """What methods may require of a protocol. text: for the page of a method, with the hyperparameter in braces.

    why_not: the reason why a row does not meet it, of the row and the hyperparameter's name; None where it does.
    """

    text: str
    why_not: Callable[[Pairing, str], str | None]

    @property
    def takes_hyperparameter(self) -> bool:
        """Whether the requirement depends on the value of a hyperparameter, as ``cubes:cube_size``."""
        return "{}" in self.text

    def is_switched_by(self, name: str) -> bool:
        """Whether it counts only where the hyperparameter of this name is true, as ``even_bottleneck:skcm``."""
        return bool(name) and not self.takes_hyperparameter


REQUIREMENTS = {
    "equal_halves": Requirement("as many unlabelled as labelled crops in a step", _equal_halves),
    "cubes": Requirement(
        "crops that can be cut into cubes of {} voxels, two or more of them on the second axis", _cubes
    ),
    "several_scales": Requirement("a network with outputs at several scales", _several_scales),
    "further_decoders": Requirement("a network that builds further decoders", _further_decoders),
    "even_bottleneck": Requirement("crops and windows whose deepest map has even sides", _even_bottleneck),
    "superpixels": Requirement("slices of the crop with {} voxels or more, and 1 or more of these", _superpixels),
    "two_classes": Requirement("a task of 2 classes where {} is foreground", _two_classes),
    "window_is_patch": Requirement("windows of inference of the size of the crops", _window_is_patch),
    "binary": Requirement("a task of 2 classes", _binary),
    SAM: Requirement("the network `sam`, which other methods cannot use", _sam),
    "pretrained": Requirement("a pre-training (`initial`), from whose weights it starts", _pretrained),
    "scaled_intensities": Requirement("scans scaled to 0..1 (`intensities: minmax`)", _scaled_intensities),
    "second_crops": Requirement("a second crop of each scan (`augmentation.second`)", _second_crops),
}


def _check_requirements(where: str, method: str) -> None:
    """Raise UserError for a requirement that does not exist, or whose hyperparameter does not. where: the method."""
    given = catalogue.declared(method).get("requires")
    if not isinstance(given, tuple) or not all(isinstance(one, str) for one in given):
        raise UserError(f'{where}: requires must be written out as texts, such as ("equal_halves",)')
    hyper = catalogue.hyperparameters(method)
    for kind, name in catalogue.requirements(method).items():
        if kind not in REQUIREMENTS:
            raise unknown("requirement", kind, REQUIREMENTS, f"{where}: requires")
        takes_value = REQUIREMENTS[kind].takes_hyperparameter
        if (name or takes_value) and name not in hyper:
            raise unknown("hyperparameter", name, hyper, f"{where}: requires {kind}")
        if name and not takes_value and not isinstance(hyper[name].default, bool):
            raise UserError(f"{where}: requires {kind}:{name}, but {name} is neither true nor false: write {kind}")


def requirements(method: str) -> list[str]:
    """What a method requires of a protocol, in words."""
    texts = ((REQUIREMENTS[kind], name) for kind, name in catalogue.requirements(method).items())
    return [one.text.format(name) + (f", if {name}" if one.is_switched_by(name) else "") for one, name in texts]


def why_not(pair: Pairing) -> str | None:
    """The reason why a row cannot be trained this way, as a sentence; None where it can.

    What a wrapped method requires is required of the row.
    """
    for name, (backbone, written) in catalogue.own_backbones(pair.method).items():
        if reason := sides_do_not_fit(backbone, written, pair.training, pair.inference):
            return f"{pair.method} has a network {name} of its own, which does not fit: {reason}"
    for kind, name in catalogue.requirements(pair.method).items():
        if REQUIREMENTS[kind].is_switched_by(name) and not pair.value(name):
            continue
        if reason := REQUIREMENTS[kind].why_not(pair, name):
            return reason
    if pair.network.name == SAM and SAM not in catalogue.requirements(pair.method):
        return f"{pair.method} cannot use the network {SAM}, which has no encoder-decoder's maps"
    if pair.wrapped is None:
        return None
    reason = why_not(replace(pair, method=pair.wrapped["method"], hyper=pair.wrapped["hyper"], wrapped=None))
    return None if reason is None else f"{pair.method} wraps {pair.wrapped['method']}, and {reason}"


def split_does_not_fit(counts: Mapping[str, int], training: Training, method: str) -> str | None:
    """The reason why a method cannot be trained on a split with this many cases per part; None where it can."""
    declared = catalogue.declared(method)
    if training.validation is not None and not counts["val"]:
        return "it has no validation cases, on which the protocol chooses the checkpoint"
    if declared["labelled_only"]:
        return None
    if not counts["unlabelled"]:
        return "it has no unlabelled cases, which this method is trained on"
    if counts["unlabelled"] < (least := declared["least_unlabelled"]):
        return f"it has {counts['unlabelled']} unlabelled cases, and this method is trained on {least} or more"
    return None
