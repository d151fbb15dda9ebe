"""Fourteen organs measured by semiseg and by MedPy in one process: equal numbers, and how long each takes.

Run: python benchmarks/metrics_vs_medpy.py [REPEATS]
MedPy computes dc, jc, asd and hd95 per organ in voxels, as the papers call it; semiseg measures the same in voxels and
in mm, both directions.
"""

import statistics
import subprocess
import sys
import time

import numpy as np
from medpy.metric.binary import asd, dc, hd95, jc

from semiseg.scoring.measurements import OrganScore, organ_scores

SHAPE, SPACING_MM, CLASSES = (96, 224, 224), (2.5, 1.25, 1.25), 14
TOLERANCE = 1e-6


def build() -> tuple[np.ndarray, np.ndarray]:
    """Label map of 14 wavy ellipsoids (about 1,000 to 300,000 voxels), and a perturbed copy with a stray island."""
    rng = np.random.default_rng(0)
    grid = np.ogrid[tuple(slice(side) for side in SHAPE)]
    maps = np.zeros((2, *SHAPE), np.uint8)
    for organ, voxels in enumerate(np.geomspace(400_000, 1_200, CLASSES), start=1):
        radii = np.cbrt(voxels * 3 / (4 * np.pi)) * np.array([0.7, 1.1, 1.3])
        centre = rng.uniform(radii, SHAPE - radii)
        for which, error in enumerate((0.0, 1.0)):
            middle, size = centre + error * rng.normal(0, 1, 3), radii * (1 + error * rng.normal(0, 0.04, 3))
            reach = sum(((axis - m) / s) ** 2 for axis, m, s in zip(grid, middle, size, strict=True))
            wave = 1 + 0.15 * np.sin(grid[1] / 5 + organ + error / 3) * np.cos(grid[2] / 7)
            maps[which][reach < wave] = organ
    maps[1, 80:84, 10:30, 10:20] = 5
    return maps[0], maps[1]


def measure_medpy(truth: np.ndarray, prediction: np.ndarray) -> list[tuple[float, ...]]:
    masks = ((prediction == organ, truth == organ) for organ in range(1, CLASSES + 1))
    return [tuple(float(metric(*pair)) for metric in (dc, jc, asd, hd95)) for pair in masks]


def measure_ours(truth: np.ndarray, prediction: np.ndarray) -> list[OrganScore]:
    return organ_scores(truth, prediction, range(1, CLASSES + 1), np.diag(SPACING_MM))


def worst_difference(ours: list[OrganScore], medpy: list[tuple[float, ...]]) -> float:
    differences = []
    for score, (dice, jaccard, directed, pooled) in zip(ours, medpy, strict=True):
        both, overlap = score.truth_voxels + score.predicted_voxels, score.overlap_voxels
        differences += [abs(2 * overlap / both - dice), abs(overlap / (both - overlap) - jaccard)]
        differences += [abs(score.voxel.to_truth_mean - directed), abs(score.voxel.pooled_p95 - pooled)]
    return max(differences)


def import_seconds() -> float:
    """Start of a fresh interpreter with the modules that measuring and scoring need; median of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import semiseg.scoring.measurements, semiseg.scoring.score"], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(repeats: int) -> None:
    truth, prediction = build()
    sizes = np.bincount(truth.ravel(), minlength=CLASSES + 1)[1:]
    # Processor time: both run in one thread, and other work on the machine does not count.
    times: dict[str, list[float]] = {"ours": [], "medpy": []}
    for _ in range(repeats):
        start = time.process_time()
        ours = measure_ours(truth, prediction)
        middle = time.process_time()
        medpy = measure_medpy(truth, prediction)
        times["ours"].append(middle - start)
        times["medpy"].append(time.process_time() - middle)
    difference = worst_difference(ours, medpy)
    if difference > TOLERANCE:
        sys.exit(f"numbers differ from MedPy's by up to {difference:g}")
    fast, slow = (statistics.median(times[name]) for name in ("ours", "medpy"))
    print(
        f"{CLASSES} organs of {sizes.min()} to {sizes.max()} voxels in {SHAPE}: semiseg {fast:.3f} s, "
        f"MedPy {slow:.1f} s of processor time, {slow / fast:.0f} x faster, "
        f"largest difference {difference:.1e}; imports {import_seconds():.2f} s"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
