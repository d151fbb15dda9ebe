"""Moving averages of weights: a teacher that follows a student."""

import torch
from torch import nn


def warm_alpha(time: int, decay: float) -> float:
    """Share that the teacher keeps: min(1 - 1/(t+1), decay), so that at t = 0 it becomes a copy of the student.

    Source: yulequan/UA-MT, HiLab-git/SSL4MIS, xmed-lab/DHC: update_ema_variables; t is read before its increment.
    """
    return min(1 - 1 / (time + 1), decay)


@torch.no_grad()
def update(teacher: nn.Module, student: nn.Module, alpha: float) -> None:
    """teacher <- alpha teacher + (1 - alpha) student, parameters only: buffers are never averaged."""
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.mul_(alpha).add_(fast, alpha=1 - alpha)
