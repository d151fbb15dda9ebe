"""Images of stored cases as training and prediction see them: as stored, or scaled to 0..1 over the whole scan."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semiseg.data.store import CaseFile, read_image, read_image_crop

Image = NDArray[np.float32]
Limits = tuple[float, float]


@dataclass(frozen=True)
class StoredCase:
    """A case of the prepared store: its file and the shape of its arrays, in stored axis order.

    limits: the intensities of the scan that become 0 and 1; None where it is used as it is stored.
    """

    path: CaseFile
    shape: tuple[int, int, int]
    limits: Limits | None = None


def limits_of(image: Image) -> Limits:
    """Lowest and highest intensity of a scan."""
    return float(image.min()), float(image.max())


def scaled(image: Image, limits: Limits | None) -> Image:
    """The image with these limits brought to 0 and 1, changed in place; all 0 for equal limits.

    Sources: yyliu01/TraCoCo and Yaan-Wang/CRLN, which scale the whole stored volume whenever they load it.
    """
    if limits is not None:
        low, high = limits
        image -= np.float32(low)
        image /= np.float32(high - low) if high > low else np.float32(1)
    return image


def image_of(case: StoredCase) -> Image:
    """The whole image of a case in stored axis order."""
    return scaled(read_image(case.path), case.limits)


def image_crop_of(case: StoredCase, start: Sequence[int], size: Sequence[int], out: Image | None = None) -> Image:
    """The box of the image as ``read_image_crop`` gives it. Voxels outside of the scan are 0, whatever the limits."""
    crop = read_image_crop(case.path, start, size, out)
    if case.limits is not None:
        spans = zip(start, size, case.shape, strict=True)
        scaled(crop[tuple(slice(max(-a, 0), max(min(n, side - a), 0)) for a, n, side in spans)], case.limits)
    return crop
