"""Spread over resampled cases as Yaan-Wang/CRLN prints it: VnetLA/boot_tsne2.py bootstrap_evaluation."""

import numpy as np
from numpy.typing import NDArray

from semiseg.scoring.averages import mean

RESAMPLES, SEED = 100, 0


def resampled(values: NDArray[np.floating], resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.float64]:
    """Mean values ``[resamples m]`` of as many cases, drawn with replacement from ``values`` ``[n m]``.

    Values that are not a number are left out of a mean. numpy's legacy generator draws, as in that code; its seed sets
    the cases of every resample.
    """
    rng = np.random.RandomState(seed)
    return np.stack([mean(values[rng.randint(0, len(values), len(values))], 0) for _ in range(resamples)])
