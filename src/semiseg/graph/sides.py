"""Sides of crops and windows, and what networks need of them; like the whole planner it imports no torch."""

from collections.abc import Mapping
from math import ceil, prod
from typing import Any

from semiseg import catalogue
from semiseg.base.texts import times
from semiseg.params.config import BatchSize, Inference, Protocol, Training

LEAST = 2  # values per channel: a normalisation layer refuses the mean and deviation of a single one


def crops_do_not_fit(protocol: Protocol) -> str | None:
    """The reason why the protocol's network cannot take its crops or windows, which begins with their key; else None.

    The network's class declares ``divisor`` and ``batch_norm`` (``semiseg.network.Backbone``).
    """
    network = protocol.network.name
    return sides_do_not_fit(network, catalogue.declared(network, "networks"), protocol.training, protocol.inference)


def sides_do_not_fit(network: str, declared: Mapping[str, Any], training: Training, inference: Inference) -> str | None:
    """The reason why a network, which declares these attributes, cannot take the crops or windows; else None."""
    divisor, batch_norm = declared["divisor"], declared["batch_norm"]
    needed = {"training.patch": (training.patch, ceil(LEAST / _fewest(training.batch)) if batch_norm else LEAST)}
    needed["inference.window"] = inference.window, 1 if batch_norm else LEAST
    for key, (sides, least) in needed.items():
        shown = times(sides)
        if any(side % divisor for side in sides):
            near = times(tuple(max(1, round(side / divisor)) * divisor for side in sides))
            return f"{key}: {network} takes sides that are multiples of {divisor}, found {shown}: take {near}, say"
        if prod(side // divisor for side in sides) < least:
            larger = times((*sides[:2], 2 * sides[2]))
            return (
                f"{key}: {shown} voxels are too few for {network}, whose deepest map has 1/{divisor} of each side and"
                f" needs {least} voxels or more: take {larger}, say"
            )
    return None


def _fewest(batch: BatchSize) -> int:
    """Crops of the smallest forward pass of a step: some methods pass labelled and unlabelled ones apart."""
    return min(batch.labelled, batch.unlabelled)
