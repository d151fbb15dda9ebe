"""Preparation steps as typed objects: what may be written under ``preparations``; ``data/preparation.py`` runs them."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from semiseg.params.kinds import (
    Directions,
    Natural,
    Number,
    Percentile,
    PositiveFloat,
    PositiveInt,
    Seed,
    Share,
    Spacing,
    Strict,
    Three,
)

STEP = Field(description="name of the step")
ONLY = Field(
    None, description="apply the step only to scans whose axes run exactly in these directions; default: to all scans"
)


class Orient(Strict):
    """Flip and permute axes to an anatomical orientation; letters name the direction each axis runs TO, as in LPI."""

    step: Literal["orient"] = STEP
    to: Directions = Field(description="direction that axes x, y, z run to, such as LPI: left, posterior, inferior")
    only: Directions | None = ONLY


class Clip(Strict):
    """Clip intensities (HU for CT)."""

    step: Literal["clip"] = STEP
    low: Number = Field(description="lower values become this one")
    high: Number = Field(description="higher values become this one")
    only: Directions | None = ONLY

    @model_validator(mode="after")
    def _in_order(self) -> "Clip":
        return _ordered(self)


class ClipCumulative(Strict):
    """Clip intensities from above at a quantile of all voxels (BraTS)."""

    step: Literal["clip_cumulative"] = STEP
    share: Share = Field(
        description="the limit is the lowest grey level that at least this fraction of all voxels does not exceed"
    )


class Resample(Strict):
    """Resample to a spacing (mm), by a factor or to a shape: exactly one, in (x, y, z) order; labels always nearest.

    library: its rules place the new voxels, count them and treat the border (``semiseg.data.resampling``).
    """

    step: Literal["resample"] = STEP
    spacing: Spacing | None = Field(None, description="new distance between voxels in mm along x, y, z")
    factor: PositiveFloat | Spacing | None = Field(
        None, description="new number of voxels / old number, for all axes or along x, y, z"
    )
    shape: Three | None = Field(None, description="new number of voxels along x, y, z")
    library: Literal["scipy", "skimage", "simpleitk", "torch"] = Field(
        description="library whose rules place the new voxels, count them and treat the border"
    )
    order: Literal[0, 1, 3] = Field(
        description="spline order of the image's interpolation: 0 nearest, 1 linear, 3 cubic"
    )

    @model_validator(mode="after")
    def _one_target(self) -> "Resample":
        if sum(value is not None for value in (self.spacing, self.factor, self.shape)) != 1:
            raise ValueError("give exactly one of spacing, factor, shape")
        if self.library == "torch" and self.order != 1:
            raise ValueError("library torch interpolates linearly: give order 1")
        return self


class Rescale(Strict):
    """(x - low) / (high - low) with percentiles of the whole volume; 0 and 100 are minimum and maximum."""

    step: Literal["rescale"] = STEP
    low: Percentile = Field(description="percentile that becomes 0")
    high: Percentile = Field(description="percentile that becomes 1")

    @model_validator(mode="after")
    def _in_order(self) -> "Rescale":
        return _ordered(self)


class Scale(Strict):
    """(x - subtract) / divide, with the same two numbers for every case."""

    step: Literal["scale"] = STEP
    subtract: Number = Field(description="number that is subtracted first")
    divide: PositiveFloat = Field(description="number that the difference is divided by")


class ZScore(Strict):
    """(x - mean) / std, applied to all voxels; mean and std are those of the whole volume, or of its voxels above 0."""

    step: Literal["zscore"] = STEP
    of: Literal["all", "positive"] = Field(
        "all", description="voxels from which mean and std are computed: all, or those above 0"
    )


class CropLabel(Strict):
    """Crop x and y to the label's box, at least ``at_least`` wide, plus a random margin per side; z is kept (LA)."""

    step: Literal["crop_label"] = STEP
    at_least: tuple[PositiveInt, PositiveInt] = Field(description="smallest width of the box along x and y, voxels")
    margin: tuple[Natural, Natural] = Field(description="random margin per side, voxels: smallest, and largest plus 1")
    seed: Seed = Field(description="seed of the margins, which are drawn per case; the official code used no seed")

    @model_validator(mode="after")
    def _margin_in_order(self) -> "CropLabel":
        if self.margin[0] >= self.margin[1]:
            raise ValueError(f"margin must rise, found {list(self.margin)}: the second is the largest margin plus 1")
        return self


class CropNonzero(Strict):
    """Crop to the box of the voxels that are not 0, without the box's last plane along each axis (BraTS)."""

    step: Literal["crop_nonzero"] = STEP


class CropMiddle(Strict):
    """Crop to the middle of the image along the scan's own axes x, y, z; labels are not used."""

    step: Literal["crop_middle"] = STEP
    size: tuple[PositiveFloat | None, PositiveFloat | None, PositiveFloat | None] = Field(
        description="width of the middle in mm along x, y and z; null keeps the whole axis"
    )


Limits = TypeVar("Limits", Clip, Rescale)


def _ordered(step: Limits) -> Limits:
    """The step. Raises ValueError unless low is below high, since every image would become constant."""
    if step.low >= step.high:
        raise ValueError(f"low must be below high, found low {step.low:g} and high {step.high:g}")
    return step


Step = Annotated[
    Orient | Clip | ClipCumulative | Resample | Rescale | Scale | ZScore | CropLabel | CropNonzero | CropMiddle,
    Field(discriminator="step"),
]


class Preparation(Strict):
    """Steps from a raw scan to a stored case."""

    axes: Literal["zyx", "xyz"] = Field(
        description="order of the axes of the stored array, in which patches and windows are given too"
    )
    steps: tuple[Step, ...] = Field(description="steps from the raw scan to the stored case, in this order")
