"""Which protocols can serve which methods. The planner imports this file, so it imports no torch."""

from collections.abc import Mapping
from typing import Any

from semiseg import catalogue
from semiseg.params.config import Training


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
            sides = " x ".join(map(str, training.patch))
            return (
                f"{method} cuts crops into cubes of {side} voxels ({name}), n >= 2 of them on the second axis, and"
                f" exchanges n parts on every axis; crops of {sides} cannot be cut so"
            )
    return None
