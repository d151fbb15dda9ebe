"""What the stand-ins share: one random source per case, and a small grid over miniature anatomy."""

import hashlib
from collections.abc import Sequence

import numpy as np

from semiseg.data.drawing.canvas import Affine, Canvas, smooth_field

WARP_MM = 3.0  # of life-size anatomy


def rng_of(seed: int, case: str) -> np.random.Generator:
    """Random generator of a case, the same whichever other cases are drawn."""
    return np.random.default_rng([seed, int(hashlib.sha256(case.encode()).hexdigest()[:8], 16)])


def miniature(
    shape: tuple[int, int, int],
    spacing_mm: Sequence[float],
    scale: float,
    centre_mm: Sequence[float],
    rng: np.random.Generator,
) -> tuple[Canvas, Affine]:
    """A RAS grid around ``centre_mm`` of anatomy shrunk by ``scale``: the canvas to paint life-size shapes on, and the
    scan's affine.
    """
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = scale * np.asarray(centre_mm) + rng.normal(0, 1, 3) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Canvas(shape, np.diag([1 / scale] * 3 + [1.0]) @ affine, smooth_field(rng, shape, WARP_MM)), affine
