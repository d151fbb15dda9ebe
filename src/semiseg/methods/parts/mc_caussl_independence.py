"""Independence of the weights of three decoders: how well the filters of one are combinations of those of the others.

Source: JuzhengMiao/CauSSL: utils/losses.py l_correlation_cos_mean_mct1, 2, 3.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STACKS = ((0, 1, 2), (1, 0, 2), (2, 1, 0))  # a branch, and the two others in the order in which they are stacked
BEGIN = 1e-3  # standard deviation of the first mixing matrices

Layers = Sequence[Tensor]  # weights [C in z y x] of one branch, layer by layer


def dependence(own: Layers, first: Layers, second: Layers, matrices: Sequence[Tensor]) -> Tensor:
    """Mean over the layers of the mean over the filters n of cos^2((A [W_x; W_y])_n, (W_z)_n), in [0, 1].

    own: W_z; first, second: W_x and W_y; matrices: A ``[C 2C]`` of each layer. A filter is a row of all its weights.
    """
    means = []
    for target, x, y, mixing in zip(own, first, second, matrices, strict=True):
        mixed = mixing @ torch.cat([x, y]).flatten(1)
        cosines = (F.normalize(mixed, dim=1) * F.normalize(target.flatten(1), dim=1)).sum(1)
        means.append(cosines.square().mean())
    return torch.stack(means).mean()


def dependences(
    branches: Sequence[Layers], matrices: Sequence[Sequence[Tensor]], learning: Sequence[int]
) -> list[Tensor]:
    """``dependence`` of each of three branches on the two others.

    matrices: of each branch; learning: numbers of the branches whose own filters get the gradient of their dependence.
    The filters of the others never get one.
    """
    fixed = [[layer.detach() for layer in branch] for branch in branches]
    return [
        dependence(branches[own] if own in learning else fixed[own], fixed[first], fixed[second], mixing)
        for (own, first, second), mixing in zip(STACKS, matrices, strict=True)
    ]


class Mixing(nn.Module):
    """The mixing matrices ``[C 2C]`` of three branches, and what their Adam keeps.

    widths: C of each layer. The matrices are no parameters of the training: ``ascend`` alone changes them. Buffers hold
    the moments of each and the number of steps that are done.
    """

    steps: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.sets = nn.ModuleList(
            nn.ParameterList(nn.Parameter(BEGIN * torch.randn(c, 2 * c), requires_grad=False) for c in widths)
            for _ in STACKS
        )
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        for number, matrix in enumerate(self.parameters()):
            self.register_buffer(f"mean_{number}", torch.zeros_like(matrix))
            self.register_buffer(f"square_{number}", torch.zeros_like(matrix))

    @property
    def matrices(self) -> list[list[Tensor]]:
        """The matrices of each branch, layer by layer."""
        return [list(each.parameters()) for each in self.sets]

    def ascend(self, branches: Sequence[Layers], steps: int, rate: float) -> None:
        """Take steps of Adam that raise each branch's dependence on the others; the branches stay as they are."""
        matrices, done = list(self.parameters()), float(self.steps)
        optimiser = torch.optim.Adam(matrices, rate)
        for number, matrix in enumerate(matrices):
            moments = {"exp_avg": self.get_buffer(f"mean_{number}"), "exp_avg_sq": self.get_buffer(f"square_{number}")}
            optimiser.state[matrix] = {"step": torch.tensor(done), **moments}
        self.requires_grad_(True)
        with torch.enable_grad(), torch.autocast(self.steps.device.type, enabled=False):
            for _ in range(steps):
                optimiser.zero_grad()
                loss = -torch.stack(dependences(branches, self.matrices, ())).sum()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        optimiser.zero_grad()
        self.requires_grad_(False)
        self.steps += steps
