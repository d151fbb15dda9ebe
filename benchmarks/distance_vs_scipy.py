"""How fast signed distance maps of crops are made, beside the official way: scipy's transform, organ by organ.

``python benchmarks/distance_vs_scipy.py`` times both on the same crops of 64 x 128 x 128 with 13 organs, one after the
other, several times, and prints seconds a crop, their ratio and the largest difference.
"""

import statistics
import time

import numpy as np
import torch
from scipy import ndimage
from skimage.segmentation import find_boundaries

from semiseg.blocks.distance import signed_distance

SHAPE, ORGANS, ROUNDS = (64, 128, 128), 13, 5


def made_labels() -> np.ndarray:
    """Organs as balls of several sizes at random places."""
    rng, grid = np.random.default_rng(0), np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.int64)
    for organ, radius in enumerate(rng.uniform(5, 25, ORGANS), 1):
        centre = [rng.uniform(0, side) for side in SHAPE]
        gap = sum((axis - place) ** 2 for axis, place in zip(grid, centre, strict=True))
        labels[gap < radius**2] = organ
    return labels


def by_scipy(labels: np.ndarray) -> np.ndarray:
    """Each organ's map from two Euclidean distance transforms of the whole crop (kleinzcy/SASSnet, HiLab-git/DTC)."""
    maps = np.zeros((ORGANS, *SHAPE), np.float32)
    for organ in range(1, ORGANS + 1):
        inside = labels == organ
        if inside.any():
            outer, inner = ndimage.distance_transform_edt(~inside), ndimage.distance_transform_edt(inside)
            maps[organ - 1] = outer / outer.max() - inner / inner.max()
            maps[organ - 1][find_boundaries(inside, mode="inner")] = 0
    return maps


def main() -> None:
    """Print both times, their ratio, and how far the maps differ."""
    torch.set_num_threads(1)
    labels = made_labels()
    tensor = torch.from_numpy(labels)[None]
    seconds: dict[str, list[float]] = {"semiseg": [], "scipy": []}
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        ours = signed_distance(tensor, ORGANS + 1)[0].numpy()
        middle = time.perf_counter()
        theirs = by_scipy(labels)
        seconds["semiseg"].append(middle - begun)
        seconds["scipy"].append(time.perf_counter() - middle)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"semiseg {medians['semiseg']:.3f} s, scipy {medians['scipy']:.3f} s a crop of {SHAPE}, {ORGANS} organs")
    print(f"ratio {medians['scipy'] / medians['semiseg']:.1f}, largest difference {np.abs(ours - theirs).max():.1e}")


if __name__ == "__main__":
    main()
