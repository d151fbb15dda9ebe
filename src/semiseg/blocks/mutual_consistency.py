"""Several predictions of one image that must agree with the sharpened forms of each other.

``probabilities`` are maps ``[b k z y x]`` in float32, one per network or decoder. The sharpening raises UserError for a
temperature T that is not above 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from semiseg.base.errors import UserError


def sharpened(probabilities: Tensor, temperature: float) -> Tensor:
    """p_c^(1/T) / sum over classes of p^(1/T), of the same shape (WYC-321/MCF: code/train_MCF.py sharpening)."""
    powers = probabilities ** _exponent(temperature)
    return powers / powers.sum(1, keepdim=True)


def sharpened_each(probabilities: Tensor, temperature: float) -> Tensor:
    """p^(1/T) / (p^(1/T) + (1 - p)^(1/T)), of the same shape: each class against all others together.

    With two classes it is equal to ``sharpened``. Source: ycwu1997/MC-Net: code/train_mcnet_3d.py sharpening.
    """
    exponent = _exponent(temperature)
    powers = probabilities**exponent
    return powers / (powers + (1 - probabilities) ** exponent)


def _exponent(temperature: float) -> float:
    if temperature <= 0:
        raise UserError(f"the temperature of a sharpening must be above 0; found {temperature}")
    return 1 / temperature


def distances(probabilities: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Tensor]:
    """For each prediction i the sum over j != i of mean((p_i - q_j)^2), the mean over all elements, classes included.

    targets: q_j, one per prediction. Gradients flow through both sides where the targets have gradients.
    """
    return [
        torch.stack([(own - target).square().mean() for other, target in enumerate(targets) if other != number]).sum()
        for number, own in enumerate(probabilities)
    ]
