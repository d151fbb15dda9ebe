"""Whether two scans are the same: small volumes that survive re-saving, and a score of how well two of them match.

A signature is the scan in RAS order, averaged onto an isotropic grid of about 64 voxels a side. For a comparison two
signatures are averaged onto one coarser grid and clipped to their own 1st and 99th percentile. The difference to the
surroundings is divided by the local contrast, so that window, offset and slow shading do not count.

The score is the largest normalised cross-correlation over all shifts at which both share at least 60 % of the shorter
side of each axis. It is computed over the overlap alone, as in Padfield, Masked object registration in the Fourier
domain, IEEE Trans. Image Process. 21 (2012), with boxes as masks: products by one Fourier transform per pair, energies
by sums over boxes. skimage.registration.phase_cross_correlation implements the same for one pair; here a scan's
spectrum is kept for all its pairs.

A pair with a high score is compared once more, at its shift to a fraction of a voxel, and also inside the bodies alone,
because two scans with one outline need not be the same scan. No rotation or scale is tried, because two visits of a
patient are not the same scan either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.fft
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.base.volume import Volume

Field = NDArray[np.float32]

STORED, COMPARED = 64, 40  # voxels along the side of a cube of the scan's volume
OVERLAP = 0.6
SURROUNDINGS = 2.0  # voxels, standard deviation
RELATED = 0.4  # inside alone: narrowly windowed and noisy copies reached 0.51 and more, other scans of one outline 0.1
ENOUGH = 0.05  # fraction of the common voxels that must lie inside for a comparison without outlines
FLAT = 1e-6  # of the largest intensity: rounding, not a picture
PROMISING = 0.7  # on whole voxels a copy cropped by 15 % per side reached 0.75 and more
SAME = 0.93  # scans of different patients reached 0.89 at most, copies 0.95 and more


@dataclass(frozen=True)
class Signature:
    """array: ``[R A S]`` on a grid of ``grid_mm`` in every direction."""

    array: Field
    grid_mm: float


def signature(volume: Volume) -> Signature:
    """The scan as a small volume; an axis whose voxels are larger than the grid is interpolated linearly."""
    directions = io_orientation(volume.affine)
    array = np.asarray(apply_orientation(volume.array, directions), np.float32)
    spacing = np.empty(3)
    spacing[directions[:, 0].astype(int)] = volume.spacing_mm
    grid = max(float(np.prod(array.shape * spacing)) ** (1 / 3) / STORED, float(spacing.min()))
    return Signature(averaged(array, grid / spacing), grid)


def averaged(array: Field, steps: Sequence[float] | NDArray[np.float64]) -> Field:
    """One triangular weighted mean per ``steps`` voxels; the old and the new grid share their centre."""
    for axis, step in enumerate(steps):
        old, new = array.shape[axis], _steps(array.shape[axis], step)
        centres = (np.arange(new) - (new - 1) / 2) * step + (old - 1) / 2
        weights = np.maximum(0, 1 - abs(np.arange(old) - centres[:, None]) / max(step, 1)).astype(np.float32)
        weights /= weights.sum(1, keepdims=True)
        array = np.moveaxis(np.tensordot(weights, array, (1, axis)), 0, axis)
    return np.ascontiguousarray(array)


def common_grid_mm(signatures: Sequence[Signature]) -> float:
    """Grid on which a collection is compared, in mm: from the median of its scans' grids."""
    return float(np.median([one.grid_mm for one in signatures])) * STORED / COMPARED


def contrast(array: Field, of: NDArray[np.bool_] | None = None) -> Field:
    """Difference to the surroundings, divided by its local size. of: voxels that count. Flat regions stay near 0."""
    low, high = np.percentile(array, (1, 99))
    array = np.clip(array, low, high)
    weights = np.ones_like(array) if of is None else of.astype(np.float32)
    near = np.maximum(_blurred(weights), 1e-6)
    detail = weights * (array - _blurred(weights * array) / near)
    size = np.sqrt(np.maximum(_blurred(detail**2) / near, 0))
    usual = float((size * weights).sum() / max(weights.sum(), 1.0))
    detail = detail / (size + usual) if usual > FLAT * max(abs(low), abs(high)) else np.zeros_like(detail)
    return np.asarray(detail, np.float32)


class Comparable:
    """A signature on the common grid, with all that depends on this scan alone."""

    def __init__(self, one: Signature, grid_mm: float) -> None:
        self.array = averaged(one.array, [grid_mm / one.grid_mm] * 3)
        self.field = contrast(self.array)
        self._spectra: dict[tuple[int, ...], Any] = {}

    def spectrum(self, size: tuple[int, ...]) -> Any:
        """Fourier transform of the padded field, computed once per size."""
        if size not in self._spectra:
            self._spectra[size] = scipy.fft.rfftn(self.field, size)
        return self._spectra[size]

    @cached_property
    def energy(self) -> NDArray[np.float64]:
        """Sum of squares over every box that starts at the origin (an integral image)."""
        sums = np.zeros([side + 1 for side in self.field.shape])
        sums[1:, 1:, 1:] = (self.field.astype(np.float64) ** 2).cumsum(0).cumsum(1).cumsum(2)
        return sums


def padded_size(signatures: Sequence[Signature], grid_mm: float) -> tuple[int, ...]:
    """Sides of the Fourier transforms, large enough that no pair wraps around on the common grid."""
    shapes = [[_steps(side, grid_mm / one.grid_mm) for side in one.array.shape] for one in signatures]
    longest = np.max(shapes, axis=0)
    return tuple(scipy.fft.next_fast_len(int((2 - OVERLAP) * side) + 1, real=True) for side in longest)


def similarity(a: Comparable, b: Comparable, size: tuple[int, ...]) -> float:
    """Score of a pair, at most 1. size: ``padded_size`` of a group that holds both."""
    starts = [_shifts(one, other) for one, other in zip(a.field.shape, b.field.shape, strict=True)]
    products = scipy.fft.irfftn(a.spectrum(size) * b.spectrum(size).conj(), size)
    products = products[np.ix_(*[start % side for start, side in zip(starts, size, strict=True)])]
    ends = [np.minimum(one, s + other) for one, s, other in zip(a.field.shape, starts, b.field.shape, strict=True)]
    begins = [np.maximum(0, start) for start in starts]
    in_a = _box_sums(a.energy, begins, ends)
    in_b = _box_sums(
        b.energy,
        [begin - start for begin, start in zip(begins, starts, strict=True)],
        [end - start for end, start in zip(ends, starts, strict=True)],
    )
    energies = in_a * in_b
    scores = products / np.sqrt(np.maximum(energies, 1e-12 * energies.max() + 1e-30))
    peak = tuple(int(index) for index in np.unravel_index(scores.argmax(), scores.shape))
    best = float(scores[peak])
    if best < PROMISING:
        return best
    shift = [float(start[index]) for start, index in zip(starts, peak, strict=True)]
    return min(_aligned(a, b, np.array(shift) + _fractions(scores, peak)), 1.0)


def _steps(side: int, step: float) -> int:
    return max(round(side / step), 1)


def _blurred(array: NDArray[np.floating[Any]]) -> Field:
    return np.asarray(ndimage.gaussian_filter(array, SURROUNDINGS, truncate=3.0), np.float32)


def _shifts(one: int, other: int) -> NDArray[np.intp]:
    """Starts of ``other`` relative to ``one`` along an axis, all that overlap enough."""
    need = int(np.ceil(OVERLAP * min(one, other)))
    return np.arange(need - other, one - need + 1)


def _box_sums(
    sums: NDArray[np.float64], begins: Sequence[NDArray[np.intp]], ends: Sequence[NDArray[np.intp]]
) -> NDArray[np.float64]:
    """Sum over the box begins..ends for every combination of shifts, by differences of the integral image."""
    for axis, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        sums = sums.take(end, axis) - sums.take(begin, axis)
    return sums


def _fractions(scores: Field, peak: tuple[int, ...]) -> NDArray[np.float64]:
    """Offset of the maximum from the peak, per axis, in voxels, by a parabola through the peak and its neighbours."""
    tops = np.zeros(3)
    for axis, index in enumerate(peak):
        if 0 < index < scores.shape[axis] - 1:
            before, after = (float(scores[(*peak[:axis], near, *peak[axis + 1 :])]) for near in (index - 1, index + 1))
            bend = before - 2 * float(scores[peak]) + after
            tops[axis] = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return tops


def _aligned(a: Comparable, b: Comparable, shift: NDArray[np.float64]) -> float:
    """Correlation over the overlap after ``b`` is moved by ``shift`` voxels."""
    first = np.maximum(0, np.ceil(shift)).astype(int)
    last = np.minimum(a.array.shape, np.floor(shift + b.array.shape - 1).astype(int) + 1)
    if (last - first < 3).any():
        return 0.0
    here = a.array[tuple(slice(start, end) for start, end in zip(first, last, strict=True))]
    sides = tuple(last - first)
    there = ndimage.affine_transform(b.array, np.ones(3), first - shift, output_shape=sides, mode="nearest")
    there = np.asarray(there, np.float32)
    outlines = _correlation(contrast(here), contrast(there))
    inside = ndimage.binary_erosion((here > _middle(here)) & (there > _middle(there)))
    if inside.sum() < ENOUGH * inside.size:
        return outlines
    texture = _correlation(contrast(here, inside), contrast(there, inside))
    return outlines if texture >= RELATED else min(outlines, texture)


def _correlation(one: Field, other: Field) -> float:
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / norm if norm > 0 else 0.0


def _middle(array: Field) -> float:
    """Threshold between dark (air) and bright by isodata: halfway between the means of both groups, 20 iterations."""
    low, high = (float(value) for value in np.percentile(array, (1, 99)))
    array, middle = np.clip(array, low, high), (low + high) / 2
    for _ in range(20):
        bright = array > middle
        if bright.all() or not bright.any():
            break
        middle = (float(array[bright].mean()) + float(array[~bright].mean())) / 2
    return middle
