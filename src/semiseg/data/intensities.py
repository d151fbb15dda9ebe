"""Statistics of all intensities of a volume."""

import numpy as np
from numpy.typing import NDArray


def percentiles(image: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Two percentiles of all voxels; 0 and 100 are the lowest and the highest value, which need no selection."""
    if (low, high) == (0, 100):
        return float(image.min()), float(image.max())
    first, second = np.percentile(image.ravel("K"), (low, high))
    return float(first), float(second)


def moments(values: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and population std. Sums are float64 and computed piece by piece, so that no second volume is allocated."""
    flat = values.ravel("K")
    if flat.size == 0:
        return 0.0, 0.0
    pieces = np.array_split(flat, flat.size // 2**16 + 1)
    mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces) / flat.size
    squares = 0.0
    for piece in pieces:  # square and sum, because the bits of a dot product depend on the number of threads
        squares += float(np.square(piece.astype(np.float64) - mean).sum())
    return mean, float(np.sqrt(squares / flat.size))
