"""Preparation steps as typed objects: what may be written under ``preparations``; ``semiseg.preparation`` does them."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from semiseg.schema import Spacing, Strict, Three


class Orient(Strict):
    """Flip and permute axes to an anatomical orientation; letters name the direction each axis runs TO, as in LPI."""

    step: Literal["orient"]
    to: Annotated[str, Field(pattern=r"^[LRAPSI]{3}$")]


class Clip(Strict):
    """Clip intensities (HU for CT)."""

    step: Literal["clip"]
    low: float
    high: float


class Resample(Strict):
    """New grid by spacing (mm), by factor or by shape: exactly one, each in (x, y, z) order; labels always nearest."""

    step: Literal["resample"]
    spacing: Spacing | None = None
    factor: PositiveFloat | None = None
    shape: Three | None = None
    library: Literal["scipy", "simpleitk"]
    order: Literal[0, 1, 3] = Field(description="spline order of the image interpolation")

    @model_validator(mode="after")
    def _one_target(self) -> "Resample":
        if sum(value is not None for value in (self.spacing, self.factor, self.shape)) != 1:
            raise ValueError("give exactly one of spacing, factor, shape")
        return self


class Rescale(Strict):
    """(x - low) / (high - low) with percentiles of the whole volume; 0 and 100 are minimum and maximum."""

    step: Literal["rescale"]
    low: Annotated[float, Field(ge=0, le=100)]
    high: Annotated[float, Field(ge=0, le=100)]


class ZScore(Strict):
    """(x - mean) / std of the whole volume."""

    step: Literal["zscore"]


class CropLabel(Strict):
    """Box of the label in x and y, at least ``at_least`` wide, plus a random margin per side; z is kept (LA)."""

    step: Literal["crop_label"]
    at_least: tuple[PositiveInt, PositiveInt] = Field(description="voxels in x and y")
    margin: tuple[int, int] = Field(description="margin per side, voxels: from (inclusive) to (exclusive)")
    seed: int = Field(description="the official margins were unseeded; ours are drawn per case from this seed")


Step = Annotated[Orient | Clip | Resample | Rescale | ZScore | CropLabel, Field(discriminator="step")]


class Preparation(Strict):
    """Steps from raw case to stored case, in this order; ``axes`` is the order in which the array is stored."""

    axes: Literal["zyx", "xyz"]
    steps: tuple[Step, ...]
