"""The diffusion of GenericSSL: noise on label maps, sampling them by DDIM, and pseudo labels from a sample.

Source: xmed-lab/GenericSSL: code/DiffVNet/guided_diffusion (gaussian_diffusion.py, respace.py) and
code/train_diffusion.py.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.base.errors import UserError

TIMES = 1000
FIRST_NOISE, LAST_NOISE = 1e-4, 0.02  # beta of the first and of the last time


def betas(times: int = TIMES, first: float = FIRST_NOISE, last: float = LAST_NOISE) -> Tensor:
    """Share of noise that each time adds, ``[times]`` float64: a linear schedule."""
    return torch.linspace(first, last, times, dtype=torch.float64)


def alpha_bars(noise: Tensor) -> Tensor:
    """Share of the clean map that is left at each time, ``[times]``: the products of 1 - beta up to it."""
    return (1 - noise).cumprod(0)


def spaced(steps: int, times: int = TIMES) -> list[int]:
    """Times of a sampler of so many steps, ascending from 0 to the last one and evenly spaced."""
    return [round((times - 1) * number / (steps - 1)) for number in range(steps)]


class Diffusion(nn.Module):
    """Noise on label maps whose values are -1 and 1, and its removal in ``steps`` steps.

    Raises UserError unless there are 2 to 1000 steps.
    """

    alpha_bar: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        if not 2 <= steps <= TIMES:
            raise UserError(f"GenericSSL.ddim_steps must be from 2 to {TIMES}; found {steps}")
        self.register_buffer("alpha_bar", alpha_bars(betas()), persistent=False)
        self.times = spaced(steps)
        self.left = [self.alpha_bar[time].item() for time in self.times]  # alpha bar at each step
        self.left_before = [1.0, *self.left[:-1]]

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """sqrt(alpha bar_t) clean + sqrt(1 - alpha bar_t) noise, for maps ``[b k z y x]`` at times ``[b]``."""
        left = self.alpha_bar[times].view(-1, 1, 1, 1, 1)
        return left.sqrt().float() * clean + (1 - left).sqrt().float() * noise

    def sample(self, denoise: Callable[[Tensor, Tensor], Tensor], start: Tensor) -> Tensor:
        """Clean map in [-1, 1] by DDIM (Song et al., ICLR 2021) without noise of its own, from noise ``[b k z y x]``.

        denoise: clean map of a noisy one and its times ``[b]``; it is clipped to [-1, 1] at each step.
        """
        noisy = clean = start
        for time, left, before in reversed(list(zip(self.times, self.left, self.left_before, strict=True))):
            times = torch.full((len(start),), time, device=start.device)
            clean = denoise(noisy, times).float().clamp(-1, 1)
            noise = (noisy * left**-0.5 - clean) / (1 / left - 1) ** 0.5
            noisy = before**0.5 * clean + (1 - before) ** 0.5 * noise
        return clean


def gumbel_like(maps: Tensor) -> Tensor:
    """Gumbel noise, minus the logarithm of exponential numbers, in the shape of ``maps``."""
    return -torch.empty_like(maps).exponential_().log()


def smoothed(maps: Tensor, size: int = 3, sigma: float = 1.0) -> Tensor:
    """Each channel of ``[b k z y x]`` convolved with a Gaussian of ``size`` voxels a side, with zeros outside."""
    offsets = torch.arange(size, device=maps.device) - (size - 1) / 2
    weights = torch.exp(-((offsets / sigma) ** 2) / 2)
    weights = weights / weights.sum()
    found = maps.flatten(0, 1).unsqueeze(1)
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 3
        shape[2 + axis], padding[axis] = size, size // 2
        found = F.conv3d(found, weights.view(shape), padding=padding)
    return found.reshape(maps.shape)


def pseudo_labels(sampled: Tensor, noise: Tensor, logits: Tensor) -> Tensor:
    """Labels ``[b z y x]``: argmax of smoothed(softmax(sampled + noise)) + softmax(logits), all ``[b k z y x]``."""
    return (smoothed((sampled + noise).softmax(1)) + logits.float().softmax(1)).argmax(1)
