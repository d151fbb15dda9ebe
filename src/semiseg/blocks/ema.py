"""Moving averages of weights: a teacher that follows a student."""

import torch
from torch import nn


def warm_alpha(time: int, decay: float) -> float:
    """Weight of the teacher's own past: min(1 - 1/(t+1), decay), so that at t = 0 it becomes a copy of the student.

    Source: yulequan/UA-MT, HiLab-git/SSL4MIS, xmed-lab/DHC: update_ema_variables; t is read before its increment.
    """
    return min(1 - 1 / (time + 1), decay)


@torch.no_grad()
def update(teacher: nn.Module, student: nn.Module, alpha: float) -> None:
    """teacher <- alpha teacher + (1 - alpha) student, for parameters only: buffers are never averaged."""
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.mul_(alpha).add_(fast, alpha=1 - alpha)


@torch.no_grad()
def update_with_buffers(teacher: nn.Module, student: nn.Module, alpha: float) -> None:
    """``update``, and the student's buffers copied, for a teacher that does not run in training mode itself.

    Otherwise the running statistics of its batch norms would stay as they were at the start. In the FixMatch codes the
    averaged weights are put into the model itself, so that the statistics are the student's as well.
    """
    update(teacher, student, alpha)
    for own, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
        own.copy_(theirs)
