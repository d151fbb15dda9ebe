"""Modes of a network for part of a step; each is restored at the end of the block, also after an error."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block: no dropout, and batch norms use their running statistics."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norms in training mode use the statistics of the batch inside the block, but do not update their own."""
    tracking = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
