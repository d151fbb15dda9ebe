"""Overlap and surface distances, beside MONAI (one organ), DeepMind's surface-distance and MedPy (14 organs).

All run in one thread, taking turns, and processor time counts. MONAI and MedPy compute Dice, Jaccard, average surface
distance and 95 % Hausdorff distance in voxels, surface-distance the same in mm except Jaccard; ours are all of them in
both units and both directions. The script ends with an error where our numbers are not those of MONAI and MedPy.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from measuring import Row, alternate, is_installed, main
from medpy.metric.binary import asd, dc, hd95, jc
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
)
from scipy import ndimage

from semiseg.scoring.measurements import OrganScore, organ_scores

ATRIUM, ATRIUM_MM = (183, 140, 88), (0.625, 0.625, 0.625)
ABDOMEN, ABDOMEN_MM, ORGANS = (96, 224, 224), (2.5, 1.25, 1.25), 14
TOLERANCE = 1e-5  # MONAI's numbers are float32

Pair = tuple[np.ndarray, np.ndarray]


def atrium(error: float, shape: tuple[int, int, int] = ATRIUM) -> Pair:
    """One wavy ellipsoid of about 160,000 voxels, and a prediction whose outline strays by noise of this size."""
    rng = np.random.default_rng(0)
    grid = np.ogrid[tuple(slice(side) for side in shape)]
    reach = sum(((axis - side / 2) / (side * 0.26)) ** 2 for axis, side in zip(grid, shape, strict=True))
    truth = reach < 1 + 0.25 * np.sin(grid[0] / 7) * np.cos(grid[1] / 5) * np.sin(grid[2] / 9)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 4)
    prediction = ndimage.gaussian_filter(truth.astype(np.float32), 2) + error * noise / noise.std() > 0.5
    return truth.astype(np.uint8), prediction.astype(np.uint8)


def abdomen() -> Pair:
    """Label map of 14 wavy ellipsoids (about 1,000 to 300,000 voxels), and a perturbed copy with a stray island."""
    rng = np.random.default_rng(0)
    grid = np.ogrid[tuple(slice(side) for side in ABDOMEN)]
    maps = np.zeros((2, *ABDOMEN), np.uint8)
    for organ, voxels in enumerate(np.geomspace(400_000, 1_200, ORGANS), start=1):
        radii = np.cbrt(voxels * 3 / (4 * np.pi)) * np.array([0.7, 1.1, 1.3])
        centre = rng.uniform(radii, ABDOMEN - radii)
        for which, error in enumerate((0.0, 1.0)):
            middle, size = centre + error * rng.normal(0, 1, 3), radii * (1 + error * rng.normal(0, 0.04, 3))
            reach = sum(((axis - m) / s) ** 2 for axis, m, s in zip(grid, middle, size, strict=True))
            wave = 1 + 0.15 * np.sin(grid[1] / 5 + organ + error / 3) * np.cos(grid[2] / 7)
            maps[which][reach < wave] = organ
    maps[1, 80:84, 10:30, 10:20] = 5
    return maps[0], maps[1]


def ours(pair: Pair, spacing_mm: tuple[float, ...], organs: int) -> list[OrganScore]:
    return organ_scores(*pair, range(1, organs + 1), np.diag(spacing_mm))


def by_monai(pair: Pair) -> list[float]:
    truth, prediction = (torch.from_numpy(mask > 0)[None, None] for mask in pair)
    distances = (
        compute_average_surface_distance(prediction, truth, include_background=True),
        compute_hausdorff_distance(prediction, truth, include_background=True, percentile=95),
    )
    return [float(value) for value in (compute_dice(prediction, truth), compute_iou(prediction, truth), *distances)]


def by_medpy(pair: Pair) -> list[list[float]]:
    truth, prediction = pair
    masks = ((prediction == organ, truth == organ) for organ in range(1, truth.max() + 1))
    return [[float(metric(*both)) for metric in (dc, jc, asd, hd95)] for both in masks]


def by_surface_distance(pair: Pair) -> list[list[float]]:
    import surface_distance as deepmind

    found = []
    for organ in range(1, pair[0].max() + 1):
        masks = [labels == organ for labels in pair]
        distances = deepmind.compute_surface_distances(*masks, ABDOMEN_MM)
        found.append(
            [
                deepmind.compute_dice_coefficient(*masks),
                *deepmind.compute_average_surface_distance(distances),
                deepmind.compute_robust_hausdorff(distances, 95),
            ]
        )
    return found


def form(score: OrganScore, pooled: bool) -> list[float]:
    """Dice, Jaccard, directed ASD and HD95 in voxels; MONAI's HD95 is the larger of both directions."""
    both, overlap = score.truth_voxels + score.predicted_voxels, score.overlap_voxels
    hausdorff = score.voxel.pooled_p95 if pooled else max(score.voxel.to_truth_p95, score.voxel.to_prediction_p95)
    return [2 * overlap / both, overlap / (both - overlap), score.voxel.to_truth_mean, hausdorff]


def compare(what: str, us: Callable[[], object], name: str, them: Callable[[], object], target: str, n: int) -> Row:
    fast, slow = alternate(us, them, repeats=n, clock=time.process_time)
    return Row(what, fast, slow, name, target=target)


def rows(tiny: bool) -> list[Row]:
    torch.set_num_threads(1)
    repeats = 1 if tiny else 7
    found = []
    for error in (0.1,) if tiny else (0.1, 0.2, 0.3):
        pair = atrium(error, (32, 32, 24) if tiny else ATRIUM)
        us, them = partial(ours, pair, ATRIUM_MM, 1), partial(by_monai, pair)
        np.testing.assert_allclose(form(us()[0], pooled=False), them(), rtol=TOLERANCE, atol=TOLERANCE)
        what = f"one organ, cubes, Dice {form(us()[0], pooled=False)[0]:.2f}: s"
        found.append(compare(what, us, "MONAI", them, "peer at least 2x", repeats))
    organs, pair = (1, pair) if tiny else (ORGANS, abdomen())
    us = partial(ours, pair, ABDOMEN_MM, organs)
    np.testing.assert_allclose(
        [form(score, pooled=True) for score in us()], by_medpy(pair), rtol=TOLERANCE, atol=TOLERANCE
    )
    what = f"{organs} organs, voxels of 2.5 x 1.25 x 1.25 mm: s"
    found.append(compare(what, us, "MedPy", partial(by_medpy, pair), "peer at least 60x", repeats))
    name, target = "surface-distance", "peer at least 4x"
    if is_installed("surface_distance"):
        found.append(compare(what, us, name, partial(by_surface_distance, pair), target, repeats))
    else:
        found.append(Row(what, found[-1].ours, None, name, target=target))
    return found


if __name__ == "__main__":
    main(rows)
