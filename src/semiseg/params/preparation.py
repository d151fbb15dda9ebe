"""Preparation steps as typed objects: what may be written under ``preparations``; ``data/preparation.py`` does them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from semiseg.params.kinds import Fraction, Spacing, Strict, Three

Directions = Annotated[str, Field(pattern=r"^[LRAPSI]{3}$")]
ONLY = Field(None, description="the step is done to scans whose axes run exactly so, and left out for all others")


class Orient(Strict):
    """Flip and permute axes to an anatomical orientation; letters name the direction each axis runs TO, as in LPI."""

    step: Literal["orient"]
    to: Directions
    only: Directions | None = ONLY


class Clip(Strict):
    """Clip intensities (HU for CT)."""

    step: Literal["clip"]
    low: float
    high: float
    only: Directions | None = ONLY


class ClipCumulative(Strict):
    """Clip intensities at the point that this share of all voxels does not exceed (BraTS)."""

    step: Literal["clip_cumulative"]
    share: Fraction


class Resample(Strict):
    """New grid by spacing (mm), by factor or by shape: exactly one, each in (x, y, z) order; labels always nearest.

    library: whose rules place the new voxels, count them and treat the border (``semiseg.data.resampling``).
    """

    step: Literal["resample"]
    spacing: Spacing | None = None
    factor: PositiveFloat | Spacing | None = Field(None, description="new size / old size; one number for all axes")
    shape: Three | None = None
    library: Literal["scipy", "skimage", "simpleitk", "torch"]
    order: Literal[0, 1, 3] = Field(description="spline order of the image interpolation")

    @model_validator(mode="after")
    def _one_target(self) -> "Resample":
        if sum(value is not None for value in (self.spacing, self.factor, self.shape)) != 1:
            raise ValueError("give exactly one of spacing, factor, shape")
        if self.library == "torch" and self.order != 1:
            raise ValueError("library torch interpolates linearly: give order 1")
        return self


class Rescale(Strict):
    """(x - low) / (high - low) with percentiles of the whole volume; 0 and 100 are minimum and maximum."""

    step: Literal["rescale"]
    low: Annotated[float, Field(ge=0, le=100)]
    high: Annotated[float, Field(ge=0, le=100)]


class Scale(Strict):
    """(x - subtract) / divide, with the same two numbers for every case."""

    step: Literal["scale"]
    subtract: float
    divide: PositiveFloat


class ZScore(Strict):
    """(x - mean) / std, applied to all voxels; both numbers are those of the whole volume, or of its voxels above 0."""

    step: Literal["zscore"]
    of: Literal["all", "positive"] = "all"


class CropLabel(Strict):
    """Box of the label in x and y, at least ``at_least`` wide, plus a random margin per side; z is kept (LA)."""

    step: Literal["crop_label"]
    at_least: tuple[PositiveInt, PositiveInt] = Field(description="voxels in x and y")
    margin: tuple[int, int] = Field(description="margin per side, voxels: from (inclusive) to (exclusive)")
    seed: int = Field(description="the official margins were unseeded; ours are drawn per case from this seed")


class CropNonzero(Strict):
    """Box of the voxels that are not 0, without its last plane in each axis (BraTS)."""

    step: Literal["crop_nonzero"]


class CropMiddle(Strict):
    """The middle of the image along the scan's own axes x, y, z; no label is looked at."""

    step: Literal["crop_middle"]
    size: tuple[PositiveFloat | None, PositiveFloat | None, PositiveFloat | None] = Field(
        description="mm along x, y and z; null keeps the whole axis"
    )


Step = Annotated[
    Orient | Clip | ClipCumulative | Resample | Rescale | Scale | ZScore | CropLabel | CropNonzero | CropMiddle,
    Field(discriminator="step"),
]


class Preparation(Strict):
    """Steps from raw case to stored case, in this order; ``axes`` is the order in which the array is stored."""

    axes: Literal["zyx", "xyz"]
    steps: tuple[Step, ...]
