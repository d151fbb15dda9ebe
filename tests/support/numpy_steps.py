"""Whole training steps by numpy, for methods without official code: a small network, and what its steps must do.

The network has two pointwise layers: features tanh(W x + b), then the head. Its twin in numpy takes a list of its four
weights. Gradients are differences of the loss.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[Any]
Weights = list[Array]
WIDTH = 3
SHIFT = 1e-6


class Pointwise(nn.Module):
    """The network in torch; it takes crops of any size."""

    widths = (WIDTH,)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body, self.head = nn.Conv3d(1, WIDTH, 1), nn.Conv3d(WIDTH, channels, 1)
        with torch.no_grad():
            self.head.weight.mul_(4)

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.body(image).tanh(),)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(image)[-1])
        return logits


def weights_of(network: nn.Module) -> Weights:
    """The weights of a ``Pointwise`` in float64."""
    return [each.detach().double().numpy().reshape(len(each), -1) for each in network.parameters()]


def forward(weights: Weights, images: Tensor) -> tuple[Array, Array]:
    """Features ``[voxels 3]`` and logits ``[voxels k]`` of images, voxels of the first image first."""
    body, offset, head, bias = weights
    features = np.tanh(images.double().numpy().reshape(-1, 1) @ body.T + offset.T)
    return features, features @ head.T + bias.T


def softmax(values: Array) -> Array:
    raised = np.exp(values - values.max(1, keepdims=True))
    found: Array = raised / raised.sum(1, keepdims=True)
    return found


def gradient(loss: Callable[[Weights], float], weights: Weights) -> Weights:
    """Derivatives of a loss by each weight."""
    found = [np.zeros_like(each) for each in weights]
    for place, entries in enumerate(found):
        for index in np.ndindex(entries.shape):
            values = []
            for shift in (SHIFT, -SHIFT):
                moved = [each.copy() for each in weights]
                moved[place][index] += shift
                values.append(loss(moved))
            entries[index] = (values[0] - values[1]) / (2 * SHIFT)
    return found


def descended(weights: Weights, slopes: Weights, speeds: Weights, setting: dict[str, Any]) -> Weights:
    """Weights after a step of SGD with momentum and weight decay; ``speeds`` are changed in place."""
    for weight, slope, speed in zip(weights, slopes, speeds, strict=True):
        speed[:] = setting["momentum"] * speed + slope + setting["weight_decay"] * weight
    return [weight - setting["learning_rate"] * speed for weight, speed in zip(weights, speeds, strict=True)]


def assert_equal(found: Sequence[Array], wanted: Sequence[Array]) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
