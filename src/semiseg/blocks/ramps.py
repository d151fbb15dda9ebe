"""Ramps and learning rates as functions of the training time, for methods and protocols; plain numbers, no torch."""

import math


def sigmoid_rampup(time: float, length: float) -> float:
    """exp(-5 (1 - t/L)^2), t clipped to [0, L]; always 1 if the length L is 0 (yulequan/UA-MT: utils/ramps.py)."""
    if length == 0:
        return 1.0
    return math.exp(-5 * (1 - min(max(time, 0), length) / length) ** 2)


def poly(base: float, time: float, length: float, power: float = 0.9) -> float:
    """Learning rate base (1 - t/T)^power (HiLab-git/SSL4MIS, xmed-lab/DHC: code/utils poly_lr)."""
    return base * math.pow(1 - time / length, power)


def step_decay(base: float, time: int, every: int = 2500, factor: float = 0.1) -> float:
    """Learning rate base factor^(t // every) (yulequan/UA-MT: code/train_LA.py)."""
    return base * factor ** (time // every)
