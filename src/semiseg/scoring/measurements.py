"""Overlap and surface distances of two label maps, measured once and completely.

Every published rule needs some of these numbers, none needs the masks again: `semiseg.scoring.score` derives Dice,
Jaccard, directed or symmetric surface distances and either form of the 95 % Hausdorff distance from them.

A voxel belongs to an organ's surface when one of its 6 face neighbours is not of that organ, or lies outside the image
(MedPy 0.5.2 with connectivity 1: a mask without its erosion). Distances run between voxel centres.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from semiseg.base.errors import UserError

Array = NDArray[Any]
Points = NDArray[np.float64]


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


def organ_scores(
    truth: Array, prediction: Array, labels: Sequence[int], edges_mm: NDArray[np.float64]
) -> list[OrganScore]:
    """Measure all organs of a pair of label maps.

    truth, prediction: integers of equal shape (2-D or 3-D), axes in any order.
    labels: positive organ ids, one score each, in this order; all other ids count as background.
    edges_mm: ``[mm axis]``, column k is the step of one voxel along array axis k (``np.diag`` of the spacings for
    perpendicular axes).
    Raises UserError for unequal shapes, non-integer maps, edges that span no space or bad ids.
    """
    _check(truth, prediction, labels, edges_mm)
    ours, theirs = _renumber(truth, labels), _renumber(prediction, labels)
    truth_points, predicted_points = _surfaces(ours, len(labels)), _surfaces(theirs, len(labels))
    joint = _count(ours, theirs, len(labels))
    ends = np.array(truth.shape) * list(product((1, -1), repeat=truth.ndim))
    diagonal = float(np.linalg.norm(ends @ edges_mm.T, axis=1).max())
    return [
        OrganScore(
            label=int(label),
            truth_voxels=int(joint[k].sum()),
            predicted_voxels=int(joint[:, k].sum()),
            overlap_voxels=int(joint[k, k]),
            truth_surface=len(truth_points[k]),
            predicted_surface=len(predicted_points[k]),
            voxel=_distances(truth_points[k], predicted_points[k]),
            mm=_distances(truth_points[k] @ edges_mm.T, predicted_points[k] @ edges_mm.T),
            diagonal_mm=diagonal,
        )
        for k, label in enumerate(labels, start=1)
    ]


def _check(truth: Array, prediction: Array, labels: Sequence[int], edges_mm: NDArray[np.float64]) -> None:
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


def _renumber(array: Array, labels: Sequence[int]) -> Array:
    """Label ids as 1..len(labels), all else 0, in the smallest unsigned type."""
    table = np.zeros(max(labels, default=0) + 2, np.min_scalar_type(len(labels)))
    table[list(labels)] = np.arange(1, len(labels) + 1)
    out = np.empty(array.shape, table.dtype)
    for slab, renumbered in zip(array, out, strict=True):  # slab by slab, since indices take 8 bytes a voxel
        np.take(table, slab.astype(np.intp), out=renumbered, mode="clip")  # both ends of the table are background
    return out


def _count(truth: Array, prediction: Array, organs: int) -> NDArray[np.int64]:
    """Joint histogram ``[organ in truth, organ in prediction]``; voxels that are background in both are left out."""
    inside = (truth > 0) | (prediction > 0)
    pairs = truth[inside].astype(np.int64) * (organs + 1) + prediction[inside]
    return np.bincount(pairs, minlength=(organs + 1) ** 2).reshape(organs + 1, organs + 1)


def _surfaces(array: Array, organs: int) -> list[Points]:
    """Voxel indices ``[n axes]`` of each id's surface; item 0 (background) is always empty."""
    edge = np.zeros(array.shape, bool)
    for axis in range(array.ndim):
        along, edge_along = np.moveaxis(array, axis, 0), np.moveaxis(edge, axis, 0)
        steps = along[1:] != along[:-1]
        edge_along[1:] |= steps
        edge_along[:-1] |= steps
        edge_along[[0, -1]] = True  # what lies outside the image is not the organ
    edge &= array > 0
    voxels = np.flatnonzero(edge)
    ids = array.ravel()[voxels]
    order = np.argsort(ids, kind="stable")
    points = np.stack(np.unravel_index(voxels[order], array.shape), axis=1).astype(np.float64)
    return np.split(points, np.searchsorted(ids[order], np.arange(1, organs + 1)))


def _distances(truth: Points, prediction: Points) -> Distances:
    """Both directions between two surfaces, points ``[n axes]`` in the unit of the result.

    A k-d tree is exact like a distance transform, and several times faster, because surfaces are thin.
    """
    if not len(truth) or not len(prediction):
        return Distances(*[float("nan")] * 7)
    to_truth, to_prediction = _nearest(prediction, truth), _nearest(truth, prediction)
    pooled = float(np.percentile(np.concatenate([to_truth, to_prediction]), 95))
    return Distances(*_summary(to_truth), *_summary(to_prediction), pooled)


def _nearest(points: Points, targets: Points) -> NDArray[np.float64]:
    # Built faster than with the defaults and queried only once; measured with benchmarks/metrics_vs_medpy.py.
    tree = cKDTree(targets, leafsize=32, balanced_tree=False, compact_nodes=False)
    distances: NDArray[np.float64] = tree.query(points)[0]
    return distances


def _summary(distances: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(distances.mean()), float(np.percentile(distances, 95)), float(distances.max())
