"""Gradient descent of a small module by the method itself, beside the optimiser of the networks."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class Descent(nn.Module):
    """SGD with Nesterov momentum on a module without gradients, which the networks' optimiser leaves out.

    The momenta are buffers ``momentum0``, ``momentum1``, ..., so that a resumed run continues with them.
    """

    def __init__(self, module: nn.Module, momentum: float, weight_decay: float) -> None:
        super().__init__()
        self.momentum, self.weight_decay = momentum, weight_decay
        for number, weight in enumerate(module.parameters()):
            self.register_buffer(f"momentum{number}", torch.zeros_like(weight))

    def step(self, module: nn.Module, loss: Callable[[], Tensor], rate: float) -> Tensor:
        """Take one step of the module down the gradient of ``loss``, and return the loss before it, a scalar."""
        value, gradients = differentiated(module, loss)
        sgd(
            list(module.parameters()),
            gradients,
            list(self.buffers()),
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=True,
            maximize=False,
        )
        return value


def differentiated(module: nn.Module, loss: Callable[[], Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The loss, and its gradient by each parameter of a module that has none of its own outside of this function."""
    module.requires_grad_(True)
    with torch.enable_grad():
        value = loss()
        gradients = torch.autograd.grad(value, list(module.parameters()))
    module.requires_grad_(False)
    return value.detach(), list(gradients)
