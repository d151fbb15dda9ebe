"""Gradient reversal: what follows is trained against what comes before (Ganin and Lempitsky, ICML 2015)."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def warm_coefficient(step: int, steps: int, high: float, low: float = 0.0, alpha: float = 1.0) -> float:
    """Strength of the reversal after ``step`` steps; it rises from ``low`` towards ``high``.

    2 (high - low) / (1 + exp(-alpha step / steps)) - (high - low) + low (thuml/Transfer-Learning-Library, class
    WarmStartGradientReverseLayer).
    """
    return 2 * (high - low) / (1 + math.exp(-alpha * step / steps)) - (high - low) + low


def reversed_gradient(tensor: Tensor, coefficient: float) -> Tensor:
    """The tensor itself, whose gradient is multiplied by MINUS the coefficient on its way back."""
    reversed_one: Tensor = _Reversal.apply(tensor, coefficient)  # type: ignore[no-untyped-call]
    return reversed_one


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, coefficient: float) -> Tensor:
        ctx.coefficient = coefficient
        return tensor.view_as(tensor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.coefficient * gradient, None
