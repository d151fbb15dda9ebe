"""Random changes of crops as typed objects; ``learning/crops.py`` and ``learning/strong.py`` carry them out."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from semiseg.params.kinds import Axis, Fraction, NotNegative, Number, PositiveFloat, PositiveInt, Strict, addition


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    """Two limits. Raises ValueError where the first is above the second."""
    if limits[0] > limits[1]:
        raise ValueError(f"the first limit must not exceed the second, found {list(limits)}")
    return limits


STEP = Field(description="name of the step")
PROBABILITY = Field(description="probability that a step that was chosen is carried out")
Degrees = Annotated[Number, Field(ge=-180, le=180)]
Limits = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)]


class Rotate(Strict):
    """Rotation about the middle of the crop; the image by cubic splines, the label linearly, with 0 from outside."""

    step: Literal["rotate"] = STEP
    axis: Axis = Field(description="axis of the crop about which it is rotated, from 0")
    degrees: Annotated[tuple[Degrees, Degrees], AfterValidator(_rising)] = Field(
        description="smallest and largest angle in degrees"
    )
    probability: Fraction = PROBABILITY


class Zoom(Strict):
    """Zoom about the middle of the crop; the image by cubic splines, the label linearly, with 0 from outside."""

    step: Literal["zoom"] = STEP
    factor: Limits = Field(
        description="smallest and largest length, along each axis and as a part of the crop's side, that is stretched"
        " to the whole side; below 1 organs become larger"
    )
    probability: Fraction = PROBABILITY


class Blur(Strict):
    """Convolution of the image with a Gaussian; the image is mirrored at its border."""

    step: Literal["blur"] = STEP
    sigma: Annotated[tuple[NotNegative, NotNegative], AfterValidator(_rising)] = Field(
        description="smallest and largest standard deviation in voxels"
    )
    probability: Fraction = PROBABILITY


class Brightness(Strict):
    """x times a factor."""

    step: Literal["brightness"] = STEP
    factor: Limits = Field(description="smallest and largest factor")
    probability: Fraction = PROBABILITY


class Contrast(Strict):
    """The distance of x from the crop's mean times a factor, clipped to the crop's range of values before the step."""

    step: Literal["contrast"] = STEP
    factor: Limits = Field(description="smallest and largest factor")
    probability: Fraction = PROBABILITY


class Gamma(Strict):
    """x to the power of an exponent on the crop's range of values, then brought to the former mean and deviation."""

    step: Literal["gamma"] = STEP
    exponent: Limits = Field(description="smallest and largest exponent")
    probability: Fraction = PROBABILITY


Step = Annotated[Rotate | Zoom | Blur | Brightness | Contrast | Gamma, Field(discriminator="step")]


class Strong(Strict):
    """Steps of which a few are drawn for each crop, labelled or not, every value evenly between its two limits."""

    choose: PositiveInt = Field(description="steps that are drawn for a crop, none twice; they follow in random order")
    steps: Annotated[tuple[Step, ...], Field(min_length=1)] = Field(description="the steps that they are drawn from")

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        if self.choose > len(self.steps):
            raise ValueError(f"choose must not exceed the number of steps, found {self.choose} of {len(self.steps)}")
        return self


class Augmentation(Strict):
    """Random changes of the volume, in this order. Axes are the stored array's, from 0."""

    rot90: bool = Field(False, description="rotation by k x 90 degrees, k in 0..3, in the plane of axes 0 and 1")
    flip_one_of: tuple[Axis, ...] = Field((), description="always one flip, along one of these axes; default: none")
    flip_each: tuple[Axis, ...] = Field(
        (), description="a flip along each of these axes with probability 0.5; default: none"
    )
    crop: Literal["last", "first"] = Field(
        "last",
        description="whether the random crop is taken after these changes or before them; it never reaches the last"
        " position, which is another end of the scan where the crop is flipped afterwards",
    )
    strong: Strong | None = Field(
        None, description="changes of the crop after all of these, of image and label alike; default: none"
    )
    second: Literal["half_start", "half_crop"] | None = addition(
        None,
        "a second crop of the same scan, turned and flipped alike, for methods that compare two (TraCoCo). On each axis"
        " its first voxel is any one before that of the first crop, or the same where there is none. Where it would lie"
        " further before it than a crop is long, half_start adds half of the first crop's start on axes 0 and 1, and"
        " half_crop puts it half a crop before the first one; default: no second crop",
    )

    @model_validator(mode="after")
    def _second_fits(self) -> Self:
        if self.second and (self.crop == "first" or self.strong):
            raise ValueError("second needs crop: last, and no strong changes: remove one of them")
        return self
