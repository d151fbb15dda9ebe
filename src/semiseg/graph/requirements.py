"""What fits together: crops and networks, protocols and methods, splits and protocols.

The planner imports this file, so it imports no torch: networks and methods declare their requirements as plain values,
which are read from the text of their files.
"""

from collections.abc import Mapping
from math import ceil, prod
from typing import Any

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.controls import is_control
from semiseg.base.names import unknown
from semiseg.params.config import BatchSize, Protocol, Training

LEAST = 2  # values per channel: a normalisation layer refuses the mean and deviation of a single one


def crops_do_not_fit(protocol: Protocol) -> str | None:
    """The reason why the protocol's network cannot take its crops or windows, which begins with their key; else None.

    The network's class declares ``divisor`` and ``batch_norm`` (``semiseg.network.Backbone``).
    """
    network, batch = protocol.network.name, protocol.training.batch
    declared = catalogue.declared(network, "networks")
    divisor, batch_norm = declared["divisor"], declared["batch_norm"]
    needed = {"training.patch": (protocol.training.patch, ceil(LEAST / _fewest(batch)) if batch_norm else LEAST)}
    needed["inference.window"] = protocol.inference.window, 1 if batch_norm else LEAST
    for key, (sides, least) in needed.items():
        shown = _times(sides)
        if any(side % divisor for side in sides):
            near = _times(tuple(max(1, round(side / divisor)) * divisor for side in sides))
            return f"{key}: {network} takes sides that are multiples of {divisor}, found {shown}: take {near}, say"
        if prod(side // divisor for side in sides) < least:
            larger = _times((*sides[:2], 2 * sides[2]))
            return (
                f"{key}: {shown} voxels are too few for {network}, whose deepest map has 1/{divisor} of each side and"
                f" needs {least} voxels or more: take {larger}, say"
            )
    return None


def _fewest(batch: BatchSize) -> int:
    """Crops of the smallest forward pass of a step: some methods pass labelled and unlabelled ones apart."""
    return min(batch.labelled, batch.unlabelled)


def _times(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides))


def check_declared(method: str) -> None:
    """Raise UserError for what the class of a method declares and no training could use, as far as it is written out.

    These are an initialisation, network or start of teachers that does not exist, a size of cubes that is no
    hyperparameter, and networks that predict but are neither declared nor set by a function of the class.
    """
    if is_control(method):
        return
    written, where = catalogue.declared(method), sources.shown(sources.PACKAGE / "methods" / f"{method}.py")
    networks, teachers = written.get("networks"), written.get("teachers")
    catalogue.check_networks(where, networks, teachers, written.get("teacher_start"))
    cubes, hyper = written.get("cubes"), catalogue.hyperparameters(method)
    if cubes and cubes not in hyper:
        raise unknown("hyperparameter", str(cubes), hyper, f"{where}: cubes")
    predicting, attributes = written.get("inference_networks"), catalogue.attributes(method)
    if predicting is None or attributes is None or networks is None or teachers is None:
        return
    if "inference_networks" not in attributes and not catalogue.overrides(method, "inference_networks"):
        own = sorted(set(predicting) & attributes) if isinstance(predicting, tuple) else []
        catalogue.check_predicting(where, predicting, [*networks, *teachers, *own])


def why_not(method: str, hyper: Mapping[str, Any], training: Training) -> str | None:
    """The reason why a method cannot be trained this way, as a sentence; None where it can.

    method: a file of ``semiseg.methods``, whose class declares its requirements (``semiseg.method.Method``); hyper: the
    row's deviations from its defaults.
    """
    required, batch = catalogue.declared(method), training.batch
    if required.get("equal_halves") and batch.labelled != batch.unlabelled:
        return (
            f"{method} pairs labelled with unlabelled crops, but the protocol takes {batch.labelled} and"
            f" {batch.unlabelled} in a step"
        )
    if required.get("cubes"):
        name = required["cubes"]
        side = hyper.get(name, catalogue.hyperparameters(method)[name].default)
        number = training.patch[1] // side
        if any(length % side for length in training.patch) or number < 2 or any(x % number for x in training.patch):
            return (
                f"{method} cuts crops into cubes of {side} voxels ({name}), n >= 2 of them on the second axis, and"
                f" exchanges n parts on every axis; crops of {_times(training.patch)} cannot be cut so"
            )
    return None


def split_does_not_fit(counts: Mapping[str, int], training: Training, *, labelled_only: bool) -> str | None:
    """The reason why a row cannot be trained on a split with this many cases per part; None where it can."""
    if training.validation is not None and not counts["val"]:
        return "it has no validation cases, on which the protocol chooses the checkpoint"
    if not labelled_only and not counts["unlabelled"]:
        return "it has no unlabelled cases, which this method is trained on"
    return None
