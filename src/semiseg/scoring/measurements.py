"""Overlap and surface distances of two label maps, measured once and completely.

Every published rule needs some of these numbers, none needs the masks again: `semiseg.scoring.score` derives Dice,
Jaccard, directed or symmetric surface distances and either form of the 95 % Hausdorff distance from them.

A voxel belongs to an organ's surface when one of its 6 face neighbours is not of that organ, or lies outside the image
(MedPy 0.5.2 with connectivity 1: a mask without its erosion). Distances run between voxel centres.

A prediction mostly runs on or close to the true surface, so the surroundings of each voxel are looked up first, from
the voxel itself outwards. A k-d tree serves the voxels that have no counterpart there. It is exact like a distance
transform, and several times faster, because surfaces are thin.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from semiseg.base.errors import UserError

Array = NDArray[Any]
Edges = NDArray[np.float64]  # ``[unit axis]``, column k is the step of one voxel along array axis k
Lengths = NDArray[np.float64]
Voxels = NDArray[np.intp]  # their indices in a flat array

# Chosen by benchmarks/metrics.py; none of them changes a number.
REACH = 3  # voxels along each axis within which the surroundings are looked up
LOOKS = 64  # voxels looked up per surface voxel before a k-d tree is cheaper, on average over all organs
ROWS, TOGETHER = 8, 2**15  # surroundings and voxels that one call of numpy looks up, whichever is more

CUBIC = 1e-12  # largest difference between squared edges of a cube, relative to them; distances differ by half of it


@dataclass(frozen=True)
class Distances:
    """Surface distances of one organ in one unit; NaN where a mask is empty and so has no surface.

    to_truth: from each surface voxel of the prediction to the nearest one of the truth (MedPy's ``asd`` is their mean).
    to_prediction: the other direction. p95: 95th percentile, linearly interpolated.
    pooled_p95: of both directions together (MedPy's ``hd95``).
    """

    to_truth_mean: float
    to_truth_p95: float
    to_truth_max: float
    to_prediction_mean: float
    to_prediction_p95: float
    to_prediction_max: float
    pooled_p95: float

    def scaled(self, factor: float) -> "Distances":
        """The same distances in a unit of which the present one has ``factor``."""
        return Distances(*(factor * value for value in vars(self).values()))


@dataclass(frozen=True)
class OrganScore:
    """One organ of one pair of label maps. diagonal_mm: of the whole image, the worst distance there can be."""

    label: int
    truth_voxels: int
    predicted_voxels: int
    overlap_voxels: int
    truth_surface: int
    predicted_surface: int
    voxel: Distances
    mm: Distances
    diagonal_mm: float

    def columns(self) -> dict[str, float]:
        """Flat form, as in a score table: distances carry their unit as a suffix, ``_voxel`` or ``_mm``."""
        flat = {name: value for name, value in vars(self).items() if not isinstance(value, Distances)}
        for unit in ("voxel", "mm"):
            flat |= {f"{name}_{unit}": value for name, value in asdict(getattr(self, unit)).items()}
        return flat


def organ_scores(truth: Array, prediction: Array, labels: Sequence[int], edges_mm: Edges) -> list[OrganScore]:
    """Measure all organs of a pair of label maps.

    truth, prediction: integers of equal shape (2-D or 3-D), axes in any order.
    labels: positive organ ids, one score each, in this order; all other ids count as background.
    edges_mm: ``[mm axis]``, column k is the step of one voxel along array axis k (``np.diag`` of the spacings for
    perpendicular axes).
    Raises UserError for unequal shapes, non-integer maps, edges that span no space or bad ids.
    """
    _check(truth, prediction, labels, edges_mm)
    box = _box((truth != 0) | (prediction != 0))
    ours, theirs = (_renumber(array[box], labels) for array in (truth, prediction))
    joint = _count(ours, theirs, len(labels))
    surfaces = _surfaces(ours, len(labels)), _surfaces(theirs, len(labels))
    voxel = _distances(*surfaces, np.eye(truth.ndim))
    edge = _edge_of_cubes(edges_mm)
    mm = _distances(*surfaces, edges_mm) if edge is None else [distances.scaled(edge) for distances in voxel]
    ends = np.array(truth.shape) * list(product((1, -1), repeat=truth.ndim))
    diagonal = float(np.linalg.norm(ends @ edges_mm.T, axis=1).max())
    return [
        OrganScore(
            label=int(label),
            truth_voxels=int(joint[k].sum()),
            predicted_voxels=int(joint[:, k].sum()),
            overlap_voxels=int(joint[k, k]),
            truth_surface=surfaces[0].sizes[k],
            predicted_surface=surfaces[1].sizes[k],
            voxel=voxel[k - 1],
            mm=mm[k - 1],
            diagonal_mm=diagonal,
        )
        for k, label in enumerate(labels, start=1)
    ]


def _check(truth: Array, prediction: Array, labels: Sequence[int], edges_mm: Edges) -> None:
    for name, array in (("truth", truth), ("prediction", prediction)):
        if array.dtype.kind not in "iub":
            raise UserError(f"{name} holds {array.dtype} values, expected integer label ids: convert it first")
    if truth.shape != prediction.shape:
        raise UserError(f"truth has shape {truth.shape} but prediction {prediction.shape}: give both on one grid")
    axes = truth.ndim
    if edges_mm.shape != (axes, axes) or not 0 < abs(np.linalg.det(edges_mm)) < np.inf:
        raise UserError(f"edges {edges_mm.tolist()} mm: expected {axes} columns, one per array axis, that span a space")
    if min(labels, default=1) < 1 or len(set(labels)) < len(labels):
        raise UserError(f"organ ids {list(labels)}: expected distinct positive numbers, 0 is background")


def _box(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box around all voxels that are True; it is empty where none is."""
    box = []
    for axis in range(inside.ndim):
        found = np.flatnonzero(inside.any(tuple(other for other in range(inside.ndim) if other != axis)))
        box.append(slice(found[0], found[-1] + 1) if len(found) else slice(0, 0))
    return tuple(box)


def _renumber(array: Array, labels: Sequence[int]) -> Array:
    """Label ids as 1..len(labels), all else 0, in the smallest unsigned type, within ``REACH`` layers of 0."""
    table = np.zeros(max(labels, default=0) + 2, np.min_scalar_type(len(labels)))
    table[list(labels)] = np.arange(1, len(labels) + 1)
    out = np.zeros([side + 2 * REACH for side in array.shape], table.dtype)
    inner = out[(slice(REACH, -REACH),) * array.ndim]
    outermost = int(np.argmax(np.abs(array.strides)))  # a slab along this axis is one piece of memory
    slabs = (np.moveaxis(volume, outermost, 0) for volume in (array, inner))
    for slab, renumbered in zip(*slabs, strict=True):  # slab by slab, since indices take 8 bytes a voxel
        renumbered[:] = table.take(slab.astype(np.intp), mode="clip")  # both ends of the table are background
    return out


def _count(truth: Array, prediction: Array, organs: int) -> NDArray[np.int64]:
    """Joint histogram ``[organ in truth, organ in prediction]``; voxels that are background in both are left out."""
    kind = np.min_scalar_type((organs + 1) ** 2)
    pairs = truth * kind.type(organs + 1) + prediction
    return np.bincount(pairs[pairs > 0], minlength=(organs + 1) ** 2).reshape(organs + 1, organs + 1)


def _edge_of_cubes(edges_mm: Edges) -> float | None:
    """Edge of the voxels in mm; None where they are not cubes."""
    products = edges_mm.T @ edges_mm
    square = float(products[0, 0])
    cubes = np.abs(products - square * np.eye(len(products))).max() <= CUBIC * square
    return math.sqrt(square) if cubes else None


@dataclass(frozen=True)
class _Surfaces:
    """Surface voxels of all organs of a label map, ``n`` in all.

    map: label map of the surface voxels alone, with ``REACH`` layers of background around them.
    voxels: ``[n]`` their indices in the flat map, organ by organ and ascending. organs: ``[n]`` the organ of each.
    sizes: number of voxels of each organ; item 0 (background) is 0.
    """

    map: Array
    voxels: Voxels
    organs: Array
    sizes: list[int]

    def split(self, values: Lengths) -> list[Lengths]:
        """Values ``[n]`` of the voxels, organ by organ; organ 1 is the first."""
        return np.split(values, np.cumsum(self.sizes[1:-1]))

    def of(self, organ: int) -> Voxels:
        """The voxels of one organ."""
        first = sum(self.sizes[:organ])
        return self.voxels[first : first + self.sizes[organ]]

    def centres(self, voxels: Voxels, edges: Edges) -> NDArray[np.float64]:
        """Centres ``[m axis]`` of voxels ``[m]`` in the unit of the edges."""
        return np.stack(np.unravel_index(voxels, self.map.shape), axis=1) @ edges.T


def _surfaces(array: Array, organs: int) -> _Surfaces:
    """Surfaces of a label map that has ``REACH`` layers of background around it."""
    flat = array.ravel()
    edge, differ = np.zeros((2, flat.size), bool)
    for step in _steps(array.shape):
        np.not_equal(flat[step:], flat[:-step], out=differ[step:])
        edge[step:] |= differ[step:]
        edge[:-step] |= differ[step:]
    edge &= flat > 0
    voxels = np.flatnonzero(edge)
    ids = flat[voxels]
    surface = np.zeros_like(flat)
    surface[voxels] = ids
    order = np.argsort(ids, kind="stable")
    sizes = np.bincount(ids, minlength=organs + 1).tolist()
    return _Surfaces(surface.reshape(array.shape), voxels[order], ids[order], sizes)


def _steps(shape: Sequence[int]) -> list[int]:
    """Steps in the flat array from a voxel to the next along each axis."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _distances(truth: _Surfaces, prediction: _Surfaces, edges: Edges) -> list[Distances]:
    """Distances of each organ in both directions, in the unit of the edges."""
    to_truth = prediction.split(_nearest(prediction, truth, edges))
    to_prediction = truth.split(_nearest(truth, prediction, edges))
    return [_summary(*directions) for directions in zip(to_truth, to_prediction, strict=True)]


def _nearest(points: _Surfaces, targets: _Surfaces, edges: Edges) -> Lengths:
    """Distance ``[n]`` from each surface voxel to the nearest target of its organ; NaN where there is no target."""
    distances = np.full(len(points.voxels), np.nan)
    left = np.flatnonzero(np.array(targets.sizes)[points.organs])
    voxels, organs, surface = points.voxels[left], points.organs[left], targets.map.ravel()
    steps, lengths = _surroundings(targets.map.shape, edges)
    first, count, looks = 0, 1, LOOKS * len(left)  # the first step is 0: voxels that both surfaces share
    while first < len(steps) and 0 < len(left) <= looks:
        hits = surface[voxels + steps[first : first + count, None]] == organs
        found = hits.any(0)
        distances[left[found]] = lengths[first + hits[:, found].argmax(0)]
        left, voxels, organs = left[~found], voxels[~found], organs[~found]
        first, looks = first + count, looks - hits.size
        count = max(ROWS, TOGETHER // max(len(left), 1))
    for organ in np.unique(points.organs[left]):
        far = left[points.organs[left] == organ]
        # Built faster than with the defaults, and queried only once.
        tree = cKDTree(targets.centres(targets.of(organ), edges), leafsize=32, balanced_tree=False, compact_nodes=False)
        distances[far] = tree.query(points.centres(points.voxels[far], edges))[0]
    return distances


def _surroundings(shape: Sequence[int], edges: Edges) -> tuple[Voxels, Lengths]:
    """Steps in the flat array to the voxels around one, itself included, with their lengths, the shortest first.

    No voxel that is left out is nearer than any of them.
    """
    offsets = np.array(list(product(range(-REACH, REACH + 1), repeat=len(shape))))
    lengths = np.sqrt(((offsets @ edges.T) ** 2).sum(1))
    planes = 1 / np.sqrt((np.linalg.inv(edges) ** 2).sum(1))  # distance between neighbouring planes across each axis
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] < (REACH + 1) * planes.min()]
    return offsets[order] @ _steps(shape), lengths[order]


def _summary(to_truth: Lengths, to_prediction: Lengths) -> Distances:
    """Distances of one organ; NaN where it has no surface in one of the label maps."""
    if not len(to_truth) or not len(to_prediction):
        return Distances(*[math.nan] * 7)
    numbers = []
    for lengths in (to_truth, to_prediction):
        numbers += [lengths.mean(), np.percentile(lengths, 95), lengths.max()]
    pooled = np.percentile(np.concatenate([to_truth, to_prediction]), 95)
    return Distances(*map(float, [*numbers, pooled]))
