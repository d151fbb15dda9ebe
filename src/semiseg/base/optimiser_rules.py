"""Optimisers that a method may give its adversaries (``Method.adversaries``)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Adam:
    """Adam for an adversary, without weight decay."""

    lr: float
    betas: tuple[float, float]
    eps: float = 1e-8


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent for an adversary. weight_decay: L2 penalty, added to the gradient."""

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
