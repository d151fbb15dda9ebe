"""Superpixels of PLBOpt, and pseudo labels whose borders follow them.

The paper gives an algorithm and a number of superpixels per slice, and no other setting (seed: Ji, Ye, Ma, Section
III-A; no code is published). What is added here is ours (unverified).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import filters, segmentation
from torch import Tensor

Plane = NDArray[np.float32]


def _slic(plane: Plane, count: int) -> Any:
    return segmentation.slic(plane, count, compactness=0.1, sigma=0, start_label=0, channel_axis=None)


def _watershed(plane: Plane, count: int) -> Any:
    return segmentation.watershed(filters.sobel(plane), count, compactness=0.001)


def _felzenszwalb(plane: Plane, count: int) -> Any:
    return segmentation.felzenszwalb(plane, scale=100, sigma=0.5, min_size=50, channel_axis=None)


def _quickshift(plane: Plane, count: int) -> Any:
    grey = np.stack([plane] * 3, axis=-1)
    return segmentation.quickshift(grey, ratio=0.5, kernel_size=3, max_dist=6, convert2lab=False, rng=0)


# From a slice in [0, 1] and a number of superpixels, which the last two do not take, to a number for each pixel.
ALGORITHMS: Mapping[str, Callable[[Plane, int], Any]] = {
    "slic": _slic,
    "watershed": _watershed,
    "felzenszwalb": _felzenszwalb,
    "quickshift": _quickshift,
}


def superpixels(image: NDArray[np.float32], algorithm: str, voxels: int) -> NDArray[np.int32]:
    """Number of the superpixel of each voxel, ``[z y x]``, from 0 without gaps.

    Each slice ``[y x]`` of the image ``[z y x]`` is divided by itself, into about one superpixel per ``voxels`` voxels.
    The intensities of the crop are brought to [0, 1] before.
    """
    low, reach = image.min(), np.ptp(image)
    scaled = (image - low) / (reach or np.float32(1))
    found, before = np.empty(image.shape, np.int32), 0
    for place, plane in zip(found, scaled, strict=True):
        ids = ALGORITHMS[algorithm](plane, max(plane.size // voxels, 1))
        own, place[:] = np.unique(ids, return_inverse=True)
        place += before
        before += len(own)
    return found


@torch.no_grad()
def refined(labels: Tensor, probabilities: Tensor, superpixels: Tensor, limit: float) -> Tensor:
    """Pseudo labels ``[n z y x]`` whose borders follow the superpixels ``[n z y x]``.

    probabilities: ``[n k z y x]``. Let c be the most frequent organ of a superpixel, M its voxels with the label c, and
    R its other voxels. H(M) is the entropy, in nats, of the mean probabilities of M. Where H(M) > limit and H(M) >
    H(R), M takes the most frequent label of R. Where H(R) > limit and H(R) > H(M), R takes c. Else, and where M or R is
    empty, the superpixel stays as it is. Of equally frequent labels the smallest counts.
    """
    crops = zip(labels, probabilities, superpixels, strict=True)
    return torch.stack([_refined(*crop, limit) for crop in crops]) if len(labels) else labels


def _refined(labels: Tensor, probabilities: Tensor, superpixels: Tensor, limit: float) -> Tensor:
    """One crop. Tables have a row for each voxel, because no superpixel has less, and the CPU need not know more."""
    flat, ids, (classes, rows) = labels.flatten(), superpixels.flatten().long(), (len(probabilities), labels.numel())
    counts = probabilities.new_zeros(rows * classes, dtype=torch.float32)
    counts = counts.index_add_(0, ids * classes + flat, counts.new_ones(rows)).view(rows, classes)
    organ = counts[:, 1:].argmax(1) + 1
    within = flat == organ[ids]
    outer, inner = entropies(probabilities.flatten(1).T, 2 * ids + within, 2 * rows).view(rows, 2).unbind(1)
    of_organ = counts.gather(1, organ.unsqueeze(1)).squeeze(1)
    is_mixed = (of_organ > 0) & (of_organ < counts.sum(1))
    contracts = is_mixed & (inner > limit) & (inner > outer)
    expands = is_mixed & (outer > limit) & (outer > inner)
    other = counts.scatter(1, organ.unsqueeze(1), 0).argmax(1)
    result = torch.where(contracts[ids] & within, other[ids], torch.where(expands[ids], organ[ids], flat))
    return result.view_as(labels)


def entropies(probabilities: Tensor, regions: Tensor, count: int) -> Tensor:
    """Entropy ``[count]`` in nats of the mean probabilities of each region; 0 for an empty one.

    probabilities: ``[v k]``; regions: number of each voxel's region ``[v]``.
    """
    sums = probabilities.new_zeros(count, probabilities.shape[1], dtype=torch.float32)
    sums.index_add_(0, regions, probabilities.float())
    means = sums / sums.sum(1, keepdim=True).clamp(min=torch.finfo(sums.dtype).tiny)
    found: Tensor = torch.special.entr(means).sum(1)
    return found
