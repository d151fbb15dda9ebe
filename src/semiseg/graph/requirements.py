"""Which protocols can serve which methods: asked before anything is planned, so no torch here."""

from collections.abc import Mapping
from typing import Any

from semiseg import catalogue
from semiseg.params.config import Training


def why_not(method: str, hyper: Mapping[str, Any], training: Training) -> str | None:
    """Why a method cannot be trained this way, in words; None where it can.

    method: a file of ``semiseg.methods``, whose class declares what it asks (``semiseg.method.Method``); hyper: the
    row's deviations from its defaults.
    """
    asked, batch = catalogue.declared(method), training.batch
    if asked.get("equal_halves") and batch.labelled != batch.unlabelled:
        return (
            f"{method} pairs labelled with unlabelled crops, but the protocol takes {batch.labelled} and"
            f" {batch.unlabelled} in a step"
        )
    if asked.get("cubes"):
        name = asked["cubes"]
        side = hyper.get(name, catalogue.hyperparameters(method)[name].default)
        number = training.patch[1] // side
        if any(length % side for length in training.patch) or number < 2 or any(x % number for x in training.patch):
            sides = " x ".join(map(str, training.patch))
            return (
                f"{method} cuts crops into cubes of {side} voxels ({name}), n >= 2 of them on the second axis, and"
                f" exchanges n parts on every axis; crops of {sides} cannot be cut so"
            )
    return None
