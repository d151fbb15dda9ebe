"""A shaded 3D view of a label map: parallel rays meet smoothed organs, and the nearest surface is seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.report.pictures import Scan

Array = NDArray[np.float64]
Field = NDArray[np.float32]
Spots = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows and columns of the picture

FROM_LEFT, FROM_ABOVE = math.radians(20), math.radians(8)  # of the patient's front
SMOOTH_MM = 1.5  # width of the Gaussian that takes the steps off a mask
SMOOTH_VOXELS = 1.0  # ... and at least so many voxels along each axis
FINER = 2  # rays per pixel along each side of the picture
DEPTH_STEP = 0.7  # of a ray, in voxels; the surface is interpolated between two steps
MARGIN_MM = 4.0
LIGHT = np.array([-0.55, -0.45, -0.70]) / np.linalg.norm([0.55, 0.45, 0.70])  # down, right, ahead: from upper left
AMBIENT, DIFFUSE, GLOSS, SHININESS = 0.34, 0.66, 0.16, 24
DIM = 0.25  # how much darker the deepest surface is than the nearest
OUTLINE = 0.45  # brightness kept where one surface hides another that lies more than OUTLINE_MM deeper
OUTLINE_MM = 6.0


@dataclass(frozen=True)
class Camera:
    """A parallel projection.

    turn: ``[3 3]``, rows are the picture's directions down, right and ahead, in the patient's (left, back, feet).
    corner: mm, the first pixel's place down, right and ahead, measured from the first voxel's centre.
    pixel: mm. shape: pixels down and right. depth: mm that rays pass.
    """

    turn: Array
    corner: Array
    pixel: float
    shape: tuple[int, int]
    depth: float

    @property
    def ray(self) -> float:
        """Distance of two rays, mm."""
        return self.pixel / FINER

    def places(self, spots: NDArray[np.intp], depth: Array, spacing: Array) -> Array:
        """Places ``[n 3]`` (voxels) at these depths (mm) of rays given by row and column ``[n 2]``."""
        seen = np.column_stack([spots * self.ray, depth]) + self.corner
        places: Array = seen @ self.turn / spacing
        return places

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of the picture."""
        return self.shape[1] * self.pixel, self.shape[0] * self.pixel


def aim(labels: Sequence[Scan], pixels: int) -> Camera:
    """A camera in front, slightly left and above, that has every mark of every label map in its frame.

    pixels: longer side of the picture.
    """
    marked = np.any([scan.array > 0 for scan in labels], axis=0)
    shell = marked & ~ndimage.binary_erosion(marked)
    left, above = FROM_LEFT, FROM_ABOVE
    right = np.array([math.cos(left), math.sin(left), 0.0])
    level = np.array([-math.sin(left), math.cos(left), 0.0])  # ahead, before the camera is raised
    feet = np.array([0.0, 0.0, 1.0])
    turn = np.stack([math.cos(above) * feet - math.sin(above) * level, right,
                     math.cos(above) * level + math.sin(above) * feet])  # fmt: skip
    points = np.argwhere(shell) * labels[0].spacing @ turn.T
    low, high = points.min(0) - MARGIN_MM, points.max(0) + MARGIN_MM
    down, across, depth = high - low
    pixel = max(down, across) / pixels
    return Camera(turn, low, pixel, (math.ceil(down / pixel), math.ceil(across / pixel)), depth)


def render(labels: Scan, colours: Mapping[int, str], camera: Camera) -> Field:
    """Picture ``[rows columns 4]`` (red, green, blue, opacity; 0 to 1) of the organs named by ``colours``."""
    nearest = np.full([FINER * side for side in camera.shape], np.inf)
    picture = np.zeros((*nearest.shape, 4), np.float32)
    for organ, colour in colours.items():
        mask = labels.array == organ
        box = ndimage.find_objects(mask.astype(np.uint8))
        if box:
            solid = _solid(mask[box[0]], [side.start for side in box[0]], labels.spacing)
            spots, depth, normals = _meet(solid, camera, nearest)
            nearest[spots] = depth
            picture[spots] = _shade(np.array(to_rgb(colour)), depth / camera.depth, normals)
    _outline(picture, nearest)
    return _shrink(picture)


@dataclass(frozen=True)
class _Solid:
    """A smoothed organ: field, the level of its surface, place (voxels) of the field's first voxel in the scan, the
    mask's outermost voxels ``[n 3]`` in the scan, spacing (mm).
    """

    field: Field
    level: float
    start: Array
    shell: NDArray[np.intp]
    spacing: Array

    def at(self, places: Array) -> Array:
        """The field at these places ``[n 3]`` (voxels of the scan)."""
        values: Array = ndimage.map_coordinates(self.field, (places - self.start).T, order=1, prefilter=False)
        return values

    def normals(self, places: Array) -> Array:
        """Outward unit normals ``[n 3]`` in the patient's directions."""
        shifts = np.eye(3)
        slopes = [self.at(places - shift) - self.at(places + shift) for shift in shifts]
        outward = np.stack(slopes, axis=-1) / self.spacing
        unit: Array = outward / np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-9)
        return unit


def _solid(mask: NDArray[np.bool_], start: Sequence[int], spacing: Sequence[float]) -> _Solid:
    """Take the steps off a mask. The level keeps its volume: at one half, thin organs (adrenals) would vanish."""
    sigma = [max(SMOOTH_MM / step, SMOOTH_VOXELS) for step in spacing]
    margin = np.array([math.ceil(3 * width) for width in sigma])
    field = np.pad(mask, [(side, side) for side in margin]).astype(np.float32)
    field = ndimage.gaussian_filter(field, sigma, truncate=3, mode="constant")
    rank = field.size - int(mask.sum())
    level = float(np.partition(field, [rank - 1, rank], axis=None)[rank - 1 : rank + 1].mean())
    shell = np.argwhere(mask & ~ndimage.binary_erosion(mask)) + np.array(start)
    return _Solid(field, level, np.array(start) - margin, shell, np.array(spacing))


def _meet(solid: _Solid, camera: Camera, nearest: Array) -> tuple[Spots, Array, Array]:
    """Where rays meet a solid before they meet what is ``nearest`` so far: rows and columns, depth (mm), normals."""
    spots, depth, last = _rays(solid, camera, nearest)
    step = max(DEPTH_STEP * float(solid.spacing.min()), camera.ray / 2)
    before = np.zeros(len(depth))
    found = [(spots[:0, 0], spots[:0, 1], depth[:0])]  # an organ behind all others leaves no ray
    while len(depth):
        value = solid.at(camera.places(spots, depth, solid.spacing))
        met = value >= solid.level
        share = (solid.level - before[met]) / (value[met] - before[met])
        found.append((spots[met, 0], spots[met, 1], depth[met] - step * (1 - share)))
        going = ~met & (depth < last)
        spots, depth, last, before = spots[going], depth[going] + step, last[going], value[going]
    rows, columns, deep = (np.concatenate(part) for part in zip(*found, strict=True))
    seen = deep < nearest[rows, columns]
    rows, columns, deep = rows[seen], columns[seen], deep[seen]
    places = camera.places(np.stack([rows, columns], axis=-1), deep, solid.spacing)
    return (rows, columns), deep, solid.normals(places) @ camera.turn.T


def _rays(solid: _Solid, camera: Camera, nearest: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """Rays that may meet the solid ``[n 2]``, and the depths between which they may, from its outermost voxels.

    In tiles of the picture as wide as a voxel; a tile's neighbours may hold the same voxel's surface.
    """
    reach = 2 * float(np.linalg.norm(solid.spacing))
    tile = math.ceil(solid.spacing.max() / camera.ray)
    shape = [side // tile + 1 for side in nearest.shape]
    down, across, depth = (solid.shell * solid.spacing @ camera.turn.T - camera.corner).T
    tiles = (down / camera.ray).astype(int) // tile, (across / camera.ray).astype(int) // tile
    near, far = np.full(shape, np.inf), np.full(shape, -np.inf)
    np.minimum.at(near, tiles, depth)
    np.maximum.at(far, tiles, depth)
    near, far = ndimage.minimum_filter(near, 3) - reach, ndimage.maximum_filter(far, 3) + reach
    spots = np.argwhere(np.isfinite(near).repeat(tile, 0).repeat(tile, 1)[: nearest.shape[0], : nearest.shape[1]])
    first, last = near[tuple(spots.T // tile)], far[tuple(spots.T // tile)]
    free = first < nearest[tuple(spots.T)]
    return spots[free], first[free], last[free]


def _shade(colour: Array, depth: Array, normals: Array) -> Field:
    """Colour, opacity 1, of surface points: ambient, diffuse and glossy light, dimmed with depth (0 to 1)."""
    half = LIGHT + np.array([0, 0, -1])  # the viewer is at -1
    light = np.clip(normals @ LIGHT, 0, 1)[:, None]
    gloss = np.clip(normals @ (half / np.linalg.norm(half)), 0, 1)[:, None] ** SHININESS
    shown = (colour * (AMBIENT + DIFFUSE * light) + GLOSS * gloss) * (1 - DIM * np.clip(depth, 0, 1))[:, None]
    return np.concatenate([np.clip(shown, 0, 1), np.ones_like(light)], axis=-1).astype(np.float32)


def _outline(picture: Field, depth: Array) -> None:
    """Darken the brim of a surface in front of another, so that organs of like colour part."""
    deepest = ndimage.maximum_filter(np.where(np.isfinite(depth), depth, 1e6), 3)
    with np.errstate(invalid="ignore"):
        picture[np.isfinite(depth) & (deepest - depth > OUTLINE_MM), :3] *= OUTLINE


def _shrink(picture: Field) -> Field:
    """Mean over the rays of each pixel, colours weighted by opacity."""
    rows, columns = picture.shape[0] // FINER, picture.shape[1] // FINER
    mean = picture.reshape(rows, FINER, columns, FINER, 4).mean((1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
    return np.asarray(np.clip(mean, 0, 1), np.float32)
