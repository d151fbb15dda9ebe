"""Grid of a prepared case in space."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]
SAME_MM = 0.1  # headers that place no voxel centre farther apart than this describe one grid


@dataclass(frozen=True)
class Geometry:
    """Grid of a stored array and of the raw scan that it was made from.

    shape, spacing_mm: of the stored array, in the order in which it is stored. affine: stored voxel indices -> RAS+ mm
    (voxel centres), columns in stored order. axes: ``zyx`` or ``xyz``. raw_shape ``[x y z]``, raw_affine: the raw grid.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: Affine
    axes: str
    raw_shape: tuple[int, int, int]
    raw_affine: Affine


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Voxel size in mm along each axis of an affine."""
    a, b, c = np.sqrt((affine[:3, :3] ** 2).sum(0))
    return float(a), float(b), float(c)


def edges_of(affine: Affine) -> NDArray[np.float64]:
    """Steps of one voxel along each array axis in mm, as columns of an upper triangular matrix.

    The patient's space is turned so that the first axis runs along x, hence distances between positions ``edges @
    index`` are those in the patient, exactly, also where the axes are not quite perpendicular. Perpendicular axes give
    a diagonal matrix of ``spacing_of``.
    """
    steps = affine[:3, :3]
    return np.asarray(np.linalg.cholesky(steps.T @ steps).T, np.float64)


def farthest_mm(shape: Sequence[int], one: Affine, other: Affine) -> float:
    """Largest distance between the places that two affines give the same voxel centre, in mm."""
    corners = np.array([[*corner, 1] for corner in itertools.product(*[(0, side - 1) for side in shape])]).T
    return float(np.sqrt((((one - other) @ corners)[:3] ** 2).sum(0)).max())
