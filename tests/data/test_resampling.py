"""Resampling by matrices against the libraries themselves, over random sizes and spacings."""

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk
import skimage.transform
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from semiseg.data.resampling import axis, new_size, picked, resampled

Arrays = tuple[np.ndarray, np.ndarray]
Sizes = tuple[int, ...]
Scales = tuple[float, ...]


def by_scipy(image: np.ndarray, label: np.ndarray, size: Sizes, scales: Scales, order: int) -> Arrays:
    """Both fields of view share their centre."""
    places = zip(image.shape, size, scales, strict=True)
    start = [(old - 1) / 2 - scale * (new - 1) / 2 for old, new, scale in places]
    return (
        ndimage.affine_transform(image, scales, start, output_shape=size, order=order, mode="mirror"),
        ndimage.affine_transform(label, scales, start, output_shape=size, order=0, mode="nearest"),
    )


def by_skimage(image: np.ndarray, label: np.ndarray, size: Sizes, scales: Scales, order: int) -> Arrays:
    plain = {"mode": "edge", "preserve_range": True, "anti_aliasing": False, "clip": False}
    return (
        skimage.transform.resize(image, size, order=order, **plain),
        skimage.transform.resize(label, size, order=0, **plain),
    )


def by_simpleitk(image: np.ndarray, label: np.ndarray, size: Sizes, scales: Scales, order: int) -> Arrays:
    """The centre of the first voxel stays where it is."""

    def resample(array: np.ndarray, interpolator: int) -> np.ndarray:
        filter = sitk.ResampleImageFilter()
        filter.SetSize(size)
        filter.SetOutputSpacing(scales)
        filter.SetInterpolator(interpolator)
        return sitk.GetArrayFromImage(filter.Execute(sitk.GetImageFromArray(np.ascontiguousarray(array.T)))).T

    return resample(image, {1: sitk.sitkLinear, 3: sitk.sitkBSpline}[order]), resample(label, sitk.sitkNearestNeighbor)


def by_torch(image: np.ndarray, label: np.ndarray, size: Sizes, scales: Scales, order: int) -> Arrays:
    interpolate = torch.nn.functional.interpolate
    linear = interpolate(torch.from_numpy(image)[None, None], size=size, mode="trilinear", align_corners=False)
    nearest = interpolate(torch.from_numpy(label).float()[None, None], size=size, mode="nearest")
    return linear[0, 0].numpy(), nearest[0, 0].numpy()


REFERENCE: dict[str, Callable[[np.ndarray, np.ndarray, Sizes, Scales, int], Arrays]] = {
    "scipy": by_scipy,
    "skimage": by_skimage,
    "simpleitk": by_simpleitk,
    "torch": by_torch,
}
SIDES = st.tuples(*[st.integers(4, 24)] * 3)
SCALES = st.tuples(*[st.floats(0.3, 4)] * 3)
SIMPLEITK = 0.51  # below a half, SimpleITK fills with 0 what lies beyond the last voxel


def compare(library: str, old: Sizes, scales: Scales, order: int) -> None:
    rng = np.random.default_rng(sum(old))
    scales = tuple(max(scale, SIMPLEITK) for scale in scales) if library == "simpleitk" else scales
    image, label = rng.normal(size=old).astype(np.float32), rng.integers(0, 200, old).astype(np.uint8)
    size = tuple(new_size(side, scale, library) for side, scale in zip(old, scales, strict=True))
    axes = [
        axis(side, new, scale, library, order, lines=number == 0)
        for number, (side, new, scale) in enumerate(zip(old, size, scales, strict=True))
    ]
    expected, nearest = REFERENCE[library](image, label, size, scales, order)
    np.testing.assert_allclose(resampled(image, axes), expected, atol=5e-6)
    np.testing.assert_array_equal(picked(label, axes), nearest)


@pytest.mark.parametrize(
    ("library", "order"),
    [("scipy", 1), ("scipy", 3), ("skimage", 1), ("skimage", 3), ("simpleitk", 1), ("simpleitk", 3), ("torch", 1)],
)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@example((30, 26, 24), (0.8203125, 0.7, 0.51))
@example((18, 18, 18), (0.85, 0.85, 0.85))  # voxel 10 lies halfway
@example((21, 22, 23), (2.1, 0.51, 0.96))
@given(SIDES, SCALES)
def test_every_library_is_the_reference(library: str, order: int, old: Sizes, scales: Scales) -> None:
    compare(library, old, scales, order)


@pytest.mark.parametrize("library", REFERENCE)
def test_an_axis_that_keeps_its_grid_is_not_touched(library: str) -> None:
    image = np.random.default_rng(0).normal(size=(12, 13, 14)).astype(np.float32)
    axes = [axis(side, side, 1.0, library, 1 if library == "torch" else 3) for side in image.shape]
    assert all(one.weights is None and (one.scale, one.start) == (1, 0) for one in axes)
    assert resampled(image, axes) is image
