"""Virtual adversarial training (Miyato et al., TPAMI 2019): the perturbation that changes a prediction most.

Source of the form for volumes: ycwu1997/SS-Net: code/utils/losses.py VAT3d.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from semiseg.blocks.modes import frozen_statistics

Distance = Callable[[Tensor, Tensor], Tensor]
EPSILON = 1e-8


def unit(directions: Tensor) -> Tensor:
    """Each item of ``[b c z y x]`` divided by its L2 norm + 1e-8."""
    norms: Tensor = torch.linalg.vector_norm(directions, dim=(1, 2, 3, 4), keepdim=True)
    return directions / (norms + EPSILON)


def virtual_adversarial_loss(
    network: nn.Module,
    images: Tensor,
    uniform: Tensor,
    distance: Distance,
    *,
    magnitude: float,
    probe: float,
    rounds: int = 1,
) -> Tensor:
    """Distance D(p(x + magnitude d), p(x)), a scalar; d is the unit direction in which D grows most.

    images, uniform: ``[b c z y x]``; uniform numbers in [0, 1), minus 0.5, are the start of d. Each of ``rounds`` power
    iterations replaces d by the direction of the gradient of D(p(x + probe d), p(x)). distance: D, a function of two
    maps of probabilities ``[b k z y x]``. p(x) carries no gradient.

    All passes use dropout and the statistics of the batch. Only that for p(x) updates running statistics. The power
    iterations are computed in float32 under autocast too: their small gradients would vanish in float16, and d with
    them.
    """
    with torch.no_grad():
        target = network(images).float().softmax(1)
    with frozen_statistics(network):
        direction = unit(uniform - 0.5)
        for _ in range(rounds):
            with torch.autocast(images.device.type, enabled=False):
                direction.requires_grad_()
                moved = network(images.float() + probe * direction).softmax(1)
                (gradient,) = torch.autograd.grad(distance(moved, target), direction)
            direction = unit(gradient)
        return distance(network(images + magnitude * direction).float().softmax(1), target)
