"""Changed views of crops for rcps: intensities and noise (hsiangyuzhao/RCPS: models/segmentation_models.py)."""

from typing import NamedTuple

import torch
from torch import Tensor

GAIN, SHIFT, DEVIATION = (0.5, 1.5), (-0.5, 0.5), (0.0, 0.1)  # ranges of uniform random numbers
NOISY = 0.5  # chance that a view has noise


class Strengths(NamedTuple):
    """Random numbers of some views, each ``[v]``: gain, shift, whether there is noise, and its standard deviation."""

    gain: Tensor
    shift: Tensor
    noisy: Tensor
    deviation: Tensor


def strengths(views: int, device: torch.device) -> Strengths:
    """New strengths of views: each view has its own, all crops of a view have the same."""
    gain, shift, noisy, deviation = torch.rand(4, views, device=device)
    return Strengths(_between(gain, GAIN), _between(shift, SHIFT), noisy < NOISY, _between(deviation, DEVIATION))


def _between(uniform: Tensor, limits: tuple[float, float]) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * uniform


def changed(images: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """a x + b mean(a x) of images x ``[b c z y x]``; the mean is over all crops, a is the gain and b the shift."""
    scaled = gain * images
    return scaled + shift * scaled.mean()
