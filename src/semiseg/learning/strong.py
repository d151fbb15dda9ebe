"""Strong augmentation: rotation, zoom, blur, brightness, contrast and gamma of a crop.

The form is that of GenericSSL (xmed-lab/GenericSSL), which calls batchgenerators. A test compares each step with
numbers from batchgenerators 0.25; later releases give a voxel the class with the largest share instead of one with half
of it. SciPy interpolates and filters; it works without Python's lock, so that threads prepare crops at once. Which
steps a crop gets, and with which values, follows from a generator of its own: neither threads nor a resumption change a
bit.

Seconds of one core for a crop of 64 x 128 x 128: a rotation 0.1, a zoom 0.25, either of them 0.7 more for a label map
of 14 classes, every other step below 0.03.
"""

from collections.abc import Sequence
from math import cos, radians, sin
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from semiseg.params.augmentation import Blur, Brightness, Contrast, Gamma, Rotate, Step, Strong, Zoom

Kind = TypeVar("Kind", bound=np.generic)
Image = NDArray[np.float32]
Label = NDArray[np.uint8]
Change = tuple[Step, float]  # a step and its value: angle, factor, sigma or exponent
SHARE = 0.5  # of a voxel that a class must have after linear interpolation, as in batchgenerators


def draw_changes(rng: np.random.Generator, strong: Strong) -> list[Change]:
    """Draw the steps of one crop in the order in which they are applied, which is the reverse of the draw."""
    drawn = rng.choice(len(strong.steps), strong.choose, replace=False)
    chosen = [strong.steps[number] for number in reversed(drawn)]
    return [(step, rng.uniform(*_limits(step))) for step in chosen if rng.random() < step.probability]


def _limits(step: Step) -> tuple[float, float]:
    match step:
        case Rotate():
            return step.degrees
        case Blur():
            return step.sigma
        case Gamma():
            return step.exponent
        case Zoom() | Brightness() | Contrast():
            return step.factor


def changed_image(image: Image, changes: Sequence[Change]) -> Image:
    """The image ``[z y x]`` after all changes; the given one stays as it is."""
    for step, value in changes:
        match step:
            case Rotate() | Zoom():
                image = _moved(image, step, value, order=3)
            case Blur():
                image = _blurred(image, value)
            case Brightness():
                image = image * np.float32(value)
            case Contrast():
                mean = image.mean()
                image = ((image - mean) * np.float32(value) + mean).clip(image.min(), image.max())
            case Gamma():
                image = _with_gamma(image, value)
    return image


def changed_label(label: Label, changes: Sequence[Change]) -> Label:
    """The label map ``[z y x]`` after the changes that move voxels.

    A voxel takes the class that has half of it or more by linear interpolation, the larger one of two equals, and is
    background where no class has.
    """
    for step, value in changes:
        if isinstance(step, Rotate | Zoom):
            moved = np.zeros_like(label)
            for number in np.unique(label[label > 0]):
                moved[_moved((label == number).astype(np.float64), step, value, order=1) >= SHARE] = number
            label = moved
    return label


def _blurred(image: Image, sigma: float) -> Image:
    from scipy import ndimage  # here, because few protocols have strong augmentation and all trainings read this file

    blurred: Image = ndimage.gaussian_filter(image, sigma)
    return blurred


def _moved(array: NDArray[Kind], step: Rotate | Zoom, value: float, order: int) -> NDArray[Kind]:
    """The array ``[z y x]`` rotated or zoomed about its middle; 0 from outside."""
    if isinstance(step, Zoom):
        return _transformed(array, np.full(3, value), order)
    turned = radians(value)
    matrix = np.array([[cos(turned), sin(turned)], [-sin(turned), cos(turned)]])
    planes = [_transformed(plane, matrix, order) for plane in np.moveaxis(array, step.axis, 0)]
    return np.ascontiguousarray(np.moveaxis(np.stack(planes), 0, step.axis))


def _transformed(array: NDArray[Kind], matrix: NDArray[np.float64], order: int) -> NDArray[Kind]:
    """The array at the places ``matrix @ x`` about its middle."""
    from scipy import ndimage

    middle = (np.array(array.shape) - 1) / 2
    shift = middle - (matrix @ middle if matrix.ndim == 2 else matrix * middle)
    moved: NDArray[Kind] = ndimage.affine_transform(array, matrix, shift, order=order, mode="constant")
    return moved


def _with_gamma(image: Image, exponent: float) -> Image:
    """(x - min) / range to the power of the exponent, brought to the range, then to the mean and deviation of x."""
    low, mean, deviation = image.min(), image.mean(), image.std()
    reach = image.max() - low
    curved = ((image - low) / (reach + np.float32(1e-7))) ** np.float32(exponent) * reach + low
    curved -= curved.mean()
    former: Image = curved / (curved.std() + np.float32(1e-8)) * deviation + mean
    return former
