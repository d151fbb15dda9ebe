"""Signed distance maps of crops, beside the official way: scipy's transform of the whole crop, organ by organ.

Both make the same maps of crops of 64 x 128 x 128 voxels with 13 organs. Costs are processor time, in seconds a crop.
"""

import sys
import time

import numpy as np
import torch
from measuring import Row, alternate, main
from scipy import ndimage
from skimage.segmentation import find_boundaries

from semiseg.blocks.distance import signed_distance

SHAPE, ORGANS, TOLERANCE = (64, 128, 128), 13, 1e-5


def made_labels(shape: tuple[int, ...], organs: int) -> np.ndarray:
    """Organs as balls of several sizes at random places."""
    rng, grid = np.random.default_rng(0), np.indices(shape)
    labels = np.zeros(shape, np.int64)
    for organ, radius in enumerate(rng.uniform(5, 25, organs), 1):
        centre = [rng.uniform(0, side) for side in shape]
        gap = sum((axis - place) ** 2 for axis, place in zip(grid, centre, strict=True))
        labels[gap < radius**2] = organ
    return labels


def by_scipy(labels: np.ndarray, organs: int) -> np.ndarray:
    """Each organ's map from two Euclidean distance transforms of the whole crop (kleinzcy/SASSnet, HiLab-git/DTC)."""
    maps = np.zeros((organs, *labels.shape), np.float32)
    for organ in range(1, organs + 1):
        inside = labels == organ
        if inside.any():
            outer, inner = ndimage.distance_transform_edt(~inside), ndimage.distance_transform_edt(inside)
            maps[organ - 1] = outer / outer.max() - inner / inner.max()
            maps[organ - 1][find_boundaries(inside, mode="inner")] = 0
    return maps


def rows(tiny: bool) -> list[Row]:
    torch.set_num_threads(1)
    shape, organs = ((16, 24, 24), 3) if tiny else (SHAPE, ORGANS)
    labels = made_labels(shape, organs)
    tensor = torch.from_numpy(labels)[None]

    def ours() -> np.ndarray:
        return signed_distance(tensor, organs + 1)[0].numpy()

    def theirs() -> np.ndarray:
        return by_scipy(labels, organs)

    if (difference := float(np.abs(ours() - theirs()).max())) > TOLERANCE:
        sys.exit(f"distance maps differ by up to {difference:g}")
    costs = alternate(ours, theirs, repeats=1 if tiny else 7, clock=time.process_time)
    return [Row(f"signed distance maps, {organs} organs: s", *costs, "scipy, organ by organ")]


if __name__ == "__main__":
    main(rows)
