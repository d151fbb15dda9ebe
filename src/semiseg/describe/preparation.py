"""The front page of a preparation: its steps in order, a sentence each."""

from typing import assert_never

from semiseg.base.terminal import Page, facts, items, title
from semiseg.base.texts import times
from semiseg.params.config import Params
from semiseg.params.preparation import (
    Clip,
    ClipCumulative,
    CropLabel,
    CropMiddle,
    CropNonzero,
    Orient,
    Preparation,
    Resample,
    Rescale,
    Scale,
    Step,
    ZScore,
)

TOWARDS = {"L": "left", "R": "right", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
ORDERS = {0: "the nearest voxel", 1: "linear interpolation", 3: "cubic splines"}


def page(params: Params, name: str) -> Page:
    """Steps, order of the stored axes, and the protocols that use it."""
    preparation = params.preparations[name]
    used = [protocol for protocol, one in params.protocols.items() if one.preparation == name]
    return [
        title("preparation", name),
        facts({"stored axes": " ".join(preparation.axes), "used by": ", ".join(used)}),
        *items("steps, in order", steps(preparation), numbered=True),
    ]


def steps(preparation: Preparation, modality: str | None = None) -> list[str]:
    """Each step as a sentence with its numbers and units. modality: of the scans, None where it may be any."""
    unit = " HU" if modality == "CT" else "" if modality == "MRI" else " (HU for CT)"
    return [_sentence(step, unit) for step in preparation.steps]


def _sentence(step: Step, unit: str) -> str:
    match step:
        case Orient():
            axes = ", ".join(TOWARDS[letter] for letter in step.to)
            return f"axes turned and flipped so that they run towards {axes} ({step.to}){_only(step.only)}"
        case Clip():
            return f"intensities clipped to {step.low:g} .. {step.high:g}{unit}{_only(step.only)}"
        case ClipCumulative():
            return f"intensities clipped at the value that {100 * step.share:.10g} % of all voxels do not exceed"
        case Resample():
            how = f"image by {ORDERS[step.order]} ({step.library}), labels by the nearest voxel"
            return f"resampled to {_grid(step)}: {how}"
        case Rescale() if (step.low, step.high) == (0, 100):
            return "rescaled so that the volume's minimum is 0 and its maximum 1"
        case Rescale():
            return f"rescaled so that the volume's percentiles {step.low:g} and {step.high:g} are 0 and 1"
        case Scale():
            return f"{step.subtract:.10g} subtracted, divided by {step.divide:.10g}, the same for every case"
        case ZScore():
            voxels = "whole volume" if step.of == "all" else "voxels above 0"
            return f"z-score: mean and standard deviation of the {voxels}, applied to all voxels"
        case CropLabel():
            low, high = step.margin[0], step.margin[1] - 1
            margin = f"{low}" if low == high else f"{low} to {high}"
            drawn = "" if low == high else f" (drawn per case, seed {step.seed})"
            return (
                f"cropped to the label's box in x and y, at least {times(step.at_least)} voxels, with a margin of "
                f"{margin} voxels a side{drawn}: the true label decides, in test cases too"
            )
        case CropNonzero():
            return "cropped to the box of voxels that are not 0, without its last plane in each axis"
        case CropMiddle():
            kept = [
                f"{size:g} mm along {axis}" for size, axis in zip(step.size, "xyz", strict=True) if size is not None
            ]
            return f"cropped to the middle {', '.join(kept)}"
        case _:
            assert_never(step)


def _only(directions: str | None) -> str:
    return "" if directions is None else f", only for scans whose axes run {directions}"


def _grid(step: Resample) -> str:
    if step.spacing is not None:
        return f"{times(step.spacing)} mm (x y z)"
    if step.shape is not None:
        return f"{times(step.shape)} voxels (x y z), whatever their size in mm"
    factors = step.factor if isinstance(step.factor, tuple) else (step.factor or 1.0,)
    return f"{times(factors)} times the number of voxels{' (x y z)' if len(factors) > 1 else ' in every axis'}"
