"""Drawing of synthetic anatomy: closed shapes in patient millimetres, warped smoothly, painted on a voxel grid.

Shapes are functions of points: negative inside, positive outside, in mm near the surface. Points are ``[3 ...]`` in
RAS+ millimetres (x to the right, y to the front, z to the head of the patient).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import nibabel.orientations
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from semiseg.base.volume import Volume

Points = NDArray[np.float32]
Field = NDArray[np.float32]
Affine = NDArray[np.float64]
Triple = tuple[float, float, float]
MARGIN_MM = 12.0


def triple(values: NDArray[np.floating] | Sequence[float]) -> Triple:
    """Three plain numbers."""
    a, b, c = values
    return float(a), float(b), float(c)


@dataclass(frozen=True)
class Ellipsoid:
    """centre and radii in mm; angles: rotation about x, y, z in degrees; power 2 is round, larger is boxier."""

    centre: Triple
    radii: tuple[float, float, float]
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    power: float = 2.0

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners that hold the shape whatever its rotation."""
        reach = max(self.radii) if any(self.angles) else np.array(self.radii)
        return np.array(self.centre) - reach, np.array(self.centre) + reach

    def level(self, points: Points) -> Field:
        """Signed distance, exact for spheres."""
        local = points - np.array(self.centre, np.float32).reshape(3, 1, 1, 1)
        if any(self.angles):
            turn = Rotation.from_euler("xyz", self.angles, degrees=True).as_matrix().T.astype(np.float32)
            local = np.tensordot(turn, local, 1)
        scaled = np.abs(local) / np.array(self.radii, np.float32).reshape(3, 1, 1, 1)
        norm = (scaled**self.power).sum(0) ** np.float32(1 / self.power)
        return np.asarray((norm - 1) * np.float32(min(self.radii)))


@dataclass(frozen=True)
class Tube:
    """A curve through points (mm) with a radius at each; squash flattens it along y."""

    path: Sequence[tuple[float, float, float]]
    radii: Sequence[float]
    squash: float = 1.0
    pieces: int = 6

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners that hold the shape."""
        path, reach = np.array(self.path), max(self.radii)
        return path.min(0) - reach, path.max(0) + reach

    def level(self, points: Points) -> Field:
        """Distance to the curve minus the local radius."""
        knots, radii = self._smooth()
        nearest = np.full(points.shape[1:], np.inf, np.float32)
        stretch = np.array([1, 1 / self.squash, 1], np.float32).reshape(3, 1, 1, 1)
        for a, b, r0, r1 in zip(knots[:-1], knots[1:], radii[:-1], radii[1:], strict=True):
            along = (b - a).reshape(3, 1, 1, 1)
            offset = points - a.reshape(3, 1, 1, 1)
            share = np.clip((offset * along).sum(0) / max(float((along**2).sum()), 1e-6), 0, 1)
            distance = np.sqrt((((offset - share * along) * stretch) ** 2).sum(0))
            np.minimum(nearest, distance - (r0 + share * (r1 - r0)), out=nearest)
        return nearest

    def _smooth(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Knots of a rounded curve through the path."""
        count = self.pieces * (len(self.path) - 1) + 1
        at = np.linspace(0, len(self.path) - 1, count)
        columns = np.column_stack([np.array(self.path), np.array(self.radii)])
        line = np.stack([np.interp(at, np.arange(len(self.path)), column) for column in columns.T], 1)
        line[1:-1] = ndimage.gaussian_filter1d(line, self.pieces / 3, axis=0, mode="nearest")[1:-1]
        return line[:, :3].astype(np.float32), line[:, 3].astype(np.float32)


@dataclass(frozen=True)
class Union:
    """Smooth union of several shapes over ``soft`` mm, without the shapes in ``less``."""

    parts: Sequence["Shape"]
    less: Sequence["Shape"] = field(default=())
    soft: float = 6.0

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners that hold all parts."""
        boxes = [part.box() for part in self.parts]
        return np.min([low for low, _ in boxes], 0) - self.soft, np.max([high for _, high in boxes], 0) + self.soft

    def level(self, points: Points) -> Field:
        """Smooth minimum over the parts, cut by the others."""
        total = self.parts[0].level(points)
        for part in self.parts[1:]:
            other = part.level(points)
            blend = np.clip(self.soft - np.abs(total - other), 0, None) / self.soft
            total = np.minimum(total, other) - blend * blend * np.float32(self.soft / 4)
        for part in self.less:
            total = np.maximum(total, -part.level(points))
        return total


Shape = Ellipsoid | Tube | Union


class Canvas:
    """A voxel grid with a smooth deformation of its points.

    affine: voxel indices -> RAS mm. warp: displacement field ``[3 x y z]`` in mm, added to each voxel's position before
    the shapes are evaluated.
    """

    def __init__(self, shape: tuple[int, int, int], affine: Affine, warp: Points) -> None:
        indices = np.indices(shape, np.float32)
        linear, shift = affine[:3, :3].astype(np.float32), affine[:3, 3].astype(np.float32)
        self.points: Points = np.tensordot(linear, indices, 1) + shift.reshape(3, 1, 1, 1) + warp
        others = ((2, 3), (1, 3), (1, 2))
        # Along each axis of the grid: lowest and highest coordinates ``[side 3]`` of the voxels at an index.
        self._bounds = [(self.points.min(axes).T, self.points.max(axes).T) for axes in others]
        self.image: Field = np.zeros(shape, np.float32)
        self.label: NDArray[np.uint8] = np.zeros(shape, np.uint8)

    def region(self, shape: Shape) -> tuple[slice, slice, slice]:
        """Smallest box of voxels that holds the shape; shapes are evaluated only there."""
        low, high = shape.box()
        low, high = low - MARGIN_MM, high + MARGIN_MM
        first = []
        for lowest, highest in self._bounds:
            reached = np.flatnonzero(((highest > low) & (lowest < high)).all(1))
            if not len(reached):
                return slice(0), slice(0), slice(0)
            first.append(slice(int(reached[0]), int(reached[-1]) + 1))
        points = self.points[(slice(None), *first)]
        near = np.ones(points.shape[1:], bool)
        for axis in range(3):
            near &= (points[axis] > low[axis]) & (points[axis] < high[axis])
        found = ndimage.find_objects(near.astype(np.uint8))
        if not found:
            return slice(0), slice(0), slice(0)
        x, y, z = (
            slice(begin.start + inner.start, begin.start + inner.stop)
            for begin, inner in zip(first, found[0], strict=True)
        )
        return x, y, z

    def inside(self, shape: Shape, grow: float = 0.0) -> tuple[tuple[slice, slice, slice], NDArray[np.bool_]]:
        """Box and mask of the voxels within the shape, grown by ``grow`` mm."""
        box = self.region(shape)
        return box, shape.level(self.points[(slice(None), *box)]) < grow

    def paint(
        self, shape: Shape, value: float, label: int = 0, within: NDArray[np.bool_] | None = None, grow: float = 0.0
    ) -> None:
        """Give the shape's voxels an intensity and a label id; ``within`` limits it to a mask of the whole grid."""
        box, mask = self.inside(shape, grow)
        if within is not None:
            mask &= within[box]
        self.image[box][mask] = value
        self.label[box][mask] = label

    def drop_islands(self, share: float) -> None:
        """Unlabel pieces smaller than this fraction of their organ, which remain where later tissues cut it."""
        for organ in np.unique(self.label[self.label > 0]):
            pieces, count = ndimage.label(self.label == organ)
            sizes = np.bincount(pieces.ravel())[1:]
            scraps = 1 + np.flatnonzero(sizes < share * sizes.sum())
            if count > 1 and len(scraps):
                self.label[np.isin(pieces, scraps)] = 0


def smooth_field(
    rng: np.random.Generator, shape: Sequence[int], amplitude: float, knots: int = 5, channels: int = 3
) -> Points:
    """Random smooth functions ``[channels *shape]`` with this standard deviation at their knots (cubic in between)."""
    coarse = rng.normal(size=(channels, knots, knots, knots)) * amplitude
    fine = np.empty((channels, *shape), np.float32)
    for channel in range(channels):
        zoom = [side / knots for side in shape]
        fine[channel] = ndimage.zoom(coarse[channel].astype(np.float32), zoom, order=3, mode="nearest", grid_mode=True)
    return fine


def scan_grid(
    size: int, width_mm: float, slice_mm: float, length_mm: float, rng: np.random.Generator
) -> tuple[tuple[int, int, int], Affine]:
    """A RAS grid of ``size`` x ``size`` voxels in plane, near the middle of the patient."""
    spacing = width_mm / size
    shape = (size, size, max(round(length_mm / slice_mm), 1))
    affine = np.diag([spacing, spacing, slice_mm, 1.0])
    middle = np.array([0.0, -4.0, 8.0]) + rng.normal(0, (3, 3, 6))
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return shape, affine


def reoriented(array: NDArray[Any], affine: Affine, orientation: str) -> Volume:
    """The same scan with axes in another orientation; its letters are the directions that the axes run to."""
    have = nibabel.orientations.io_orientation(affine)
    change = nibabel.orientations.ornt_transform(have, nibabel.orientations.axcodes2ornt(orientation))
    flipped = nibabel.orientations.apply_orientation(array, change)
    return Volume(np.ascontiguousarray(flipped), affine @ nibabel.orientations.inv_ornt_aff(change, array.shape))
