"""Exponential moving averages of weights: updates of a mean teacher from its student."""

import torch
from torch import nn


def warm_alpha(time: int, decay: float) -> float:
    """Factor alpha of the teacher's weights: min(1 - 1/(t+1), decay), where t is the step's number from 0.

    At t = 0 alpha is 0, so the teacher becomes a copy of the student. Source: update_ema_variables in yulequan/UA-MT,
    HiLab-git/SSL4MIS and xmed-lab/DHC, which read t before they increment it.
    """
    return min(1 - 1 / (time + 1), decay)


@torch.no_grad()
def update(teacher: nn.Module, student: nn.Module, alpha: float) -> None:
    """Set the parameters: teacher <- alpha teacher + (1 - alpha) student. Buffers are not changed."""
    for average, current in zip(teacher.parameters(), student.parameters(), strict=True):
        average.mul_(alpha).add_(current, alpha=1 - alpha)


@torch.no_grad()
def update_with_buffers(teacher: nn.Module, student: nn.Module, alpha: float) -> None:
    """Call ``update``, then copy the student's buffers. This serves a teacher that never runs in training mode.

    Without the copy, the running statistics of such a teacher's batch norms would keep their initial values. The
    FixMatch codes use the student's statistics too, because they load the averaged weights into the student's model.
    """
    update(teacher, student, alpha)
    for target, source in zip(teacher.buffers(), student.buffers(), strict=True):
        target.copy_(source)
