"""From one grid to another, axis by axis, by the rules of the library that an official script calls.

The libraries are the reference: scipy, scikit-image, SimpleITK and torch. tests/data/test_resampling.py compares each
with this module over random sizes. This module exists because it is at least three times as fast
(benchmarks/prepare_vs_guidednet.py).

Spline interpolation is linear in the voxels and separable, prefilter included, so along one axis it is a matrix. The
columns of that matrix are scipy's results for unit impulses, at any spline order. A volume then costs about 25
multiplications per voxel and axis. An axis that keeps its grid is not touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array

NEGLIGIBLE = 1e-8  # weights below this change no float32 voxel
COLUMNS = 2**14  # voxels of a plane that go through a matrix together: about what a core's cache holds


@dataclass(frozen=True)
class Axis:
    """One axis of the new grid: voxel i lies at ``start + scale * i`` of the old one.

    weights: of the image, float32 ``[new old]``, rows sum to 1; None where the axis keeps its grid. nearest: for each
    new voxel the old one that a label comes from.
    """

    size: int
    scale: float
    start: float
    weights: csr_array | None
    nearest: NDArray[np.intp]


def new_size(old: int, scale: float, library: str) -> int:
    """Voxels along an axis when each new one is ``scale`` old ones wide, at least one.

    simpleitk and torch drop the incomplete last voxel (ycwu1997/MC-Net: data/Pancreas/Pre-processing.ipynb, int(size *
    spacing); torch.nn.functional.interpolate), scipy and skimage round (kimjisoo12/GuidedNet: data preprocessing.py).
    """
    voxels = old / scale
    if library in ("simpleitk", "torch"):
        return max(int(voxels + 1e-6), 1)  # 500.0 is not 499.9999, which spacings from an affine may make of it
    return max(round(voxels), 1)


def axis(old: int, size: int, scale: float, library: str, order: int, *, lines: bool = False) -> Axis:
    """An axis of ``old`` voxels on ``size`` new ones. lines: whether lines of voxels run along it, as along x.

    scipy: both fields of view share their centre, spacing is exactly ``scale``; mirrored borders.
    skimage: both fields of view are the same, so spacing is old / size; borders repeat (resize, mode edge).
    simpleitk: the first voxel's centre stays where it is, spacing is exactly ``scale``; mirrored borders, repeated ones
    for order 1. Where spacing falls below half of what it was, new voxels may lie beyond the last old one: SimpleITK
    fills them with 0; here the border is repeated (no scan of Pancreas-CT has such voxels at 1 mm). Labels at equal
    distances come from the larger of two voxels; along lines the rounding of ITK's walk from end to end decides.
    torch: as skimage for images (trilinear, align_corners False), but labels come from old voxel floor(i * old / size),
    which lies up to half a new voxel towards the first one (mode nearest).
    """
    if library == "torch":
        return _torch_axis(old, size)
    numbers = np.arange(old)
    if library == "skimage":
        scale = old / size
        start = (scale - 1) / 2
        weights = _zoomed(np.eye(old), size, order, "nearest")
        nearest = _zoomed(numbers, size, 0, "reflect")
    else:
        start = (old - 1) / 2 - scale * (size - 1) / 2 if library == "scipy" else 0.0
        mode = "nearest" if library == "simpleitk" and order == 1 else "mirror"
        weights = ndimage.affine_transform(
            np.eye(old), [scale, 1], [start, 0], output_shape=(size, old), order=order, mode=mode
        )
        nearest = ndimage.affine_transform(numbers, [scale], start, output_shape=(size,), order=0, mode="nearest")
        if library == "simpleitk" and lines:
            places = np.arange(size) / size * (size * scale)
            nearest = np.minimum(np.floor(places + 0.5).astype(np.intp), old - 1)
    return Axis(size, scale, start, _sparse(weights), nearest)


def resampled(array: NDArray[Any], axes: Sequence[Axis]) -> NDArray[np.float32]:
    """Image ``[x y z]`` on the new grid; a new volume lies in memory with x fastest."""
    x, y, z = axes
    shrinks = z.size < array.shape[2]  # what shrinks the volume comes first
    if z.weights is not None and shrinks:
        array = _across(array, z.weights)
    if x.weights is not None or y.weights is not None:
        array = _in_plane(array, x, y)
    if z.weights is not None and not shrinks:
        array = _across(array, z.weights)
    return np.asarray(array, np.float32)


def picked(array: NDArray[Any], axes: Sequence[Axis]) -> NDArray[Any]:
    """Label map ``[x y z]`` on the new grid, nearest neighbour, in memory with x fastest."""
    x, y, z = (one.nearest for one in axes)
    return np.asarray(array.T[np.ix_(z, y, x)].T)


def _zoomed(array: NDArray[Any], size: int, order: int, mode: str) -> NDArray[Any]:
    """The array with its first axis resized by the call that skimage.transform.resize makes."""
    factors = (size / array.shape[0], 1)[: array.ndim]
    zoomed: NDArray[Any] = ndimage.zoom(array, factors, order=order, mode=mode, grid_mode=True)
    return zoomed


def _torch_axis(old: int, size: int) -> Axis:
    """The axis in torch's single precision, which decides ties and the fifth digit of interpolated images."""
    scale = np.float32(old) / np.float32(size)
    new = np.arange(size, dtype=np.float32)
    place = (np.float64(scale) * (new + 0.5) - 0.5).astype(np.float32)  # rounded once, as processors multiply and add
    place = np.maximum(place, np.float32(0))
    low = place.astype(np.intp)
    fraction = place - low.astype(np.float32)
    weights = np.zeros((size, old), np.float32)
    weights[np.arange(size), low] = 1 - fraction
    weights[np.arange(size), np.minimum(low + 1, old - 1)] += fraction
    nearest = np.minimum((new * scale).astype(np.intp), old - 1)
    return Axis(size, old / size, (old / size - 1) / 2, _sparse(weights), nearest)


def _sparse(weights: NDArray[Any]) -> csr_array | None:
    """The matrix without zeros; None for the identity, because such an axis keeps its grid."""
    if weights.shape[0] == weights.shape[1] and np.abs(weights - np.eye(len(weights))).max() < NEGLIGIBLE:
        return None
    return csr_array(np.where(np.abs(weights) < NEGLIGIBLE, 0, weights).astype(np.float32))


def _in_plane(array: NDArray[Any], x: Axis, y: Axis) -> NDArray[np.float32]:
    new = np.empty((x.size, y.size, array.shape[2]), np.float32, order="F")
    for index in range(array.shape[2]):
        plane = array[:, :, index]
        if x.weights is not None:
            plane = x.weights @ plane
        if y.weights is not None:
            plane = (y.weights @ plane.T).T
        new[:, :, index] = plane
    return new


def _across(array: NDArray[Any], weights: csr_array) -> NDArray[np.float32]:
    width, rows, depth = array.shape
    new = np.empty((width, rows, weights.shape[0]), np.float32, order="F")
    at_once = max(COLUMNS // width, 1)
    for first in range(0, rows, at_once):
        block = array[:, first : first + at_once].T.reshape(depth, -1)
        new[:, first : first + at_once] = (weights @ block).reshape(weights.shape[0], -1, width).T
    return new
