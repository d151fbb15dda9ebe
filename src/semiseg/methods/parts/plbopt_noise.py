"""Noise on the scans that a method predicts (Ji, Ye, Ma: Table IX).

The paper says that weak noise changes hue, saturation and contrast, and that strong noise is Gaussian. How much, and
whether on test scans, is ours (unverified). Hue and saturation of a grey image have no meaning, so contrast is left.
"""

import numpy as np
from numpy.typing import NDArray

CONTRAST = (0.6, 1.4)  # least and largest factor
SIGMA = 0.1  # of the Gaussian noise, as a part of the range of the image


def disturbed(image: NDArray[np.float32], level: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """The image ``[z y x]`` with noise of level ``none``, ``weak`` or ``strong``, within the range that it had."""
    low, high = image.min(), image.max()
    match level:
        case "weak":
            mean = image.mean()
            changed = mean + np.float32(rng.uniform(*CONTRAST)) * (image - mean)
        case "strong":
            changed = image + np.float32(SIGMA) * (high - low) * rng.standard_normal(image.shape, np.float32)
        case _:
            return image
    found: NDArray[np.float32] = changed.clip(low, high)
    return found
