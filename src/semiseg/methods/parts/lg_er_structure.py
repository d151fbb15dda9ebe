"""Structure losses of lg_er (fengweie/LG-ER-MT: utils/losses.py), of probabilities ``[b k z y x]``."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

TINY = 1e-30  # added to a probability before its logarithm
LENGTH = 1e-8  # added to the length of a vector
Box = tuple[slice, ...]


def information(probabilities: Tensor) -> Tensor:
    """-p log2(p + 1e-30) / log2 K of every element, float32; its sum over the classes is an entropy in [0, 1]."""
    probabilities = probabilities.float()
    return -probabilities * (probabilities + TINY).log2() / math.log2(probabilities.shape[1])


def entropy(probabilities: Tensor) -> Tensor:
    """Mean over voxels of the entropy in [0, 1]."""
    return information(probabilities).sum(1).mean()


def global_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean over all elements of the squared difference of ``information``."""
    return (information(student) - information(teacher)).square().mean() / 2


def directions(block: Tensor) -> Tensor:
    """Class vectors of all voxels divided by their length + 1e-8, float64 ``[b k v]``."""
    vectors = block.double().flatten(2)
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / (lengths + LENGTH)


def local_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over crops and pairs of voxels of (s_q - s_p)^2, s the cosine similarity of the pair's class vectors.

    With vectors U ``[k v]`` the sum over pairs is |U_q U_q'|^2 - 2 |U_q U_p'|^2 + |U_p U_p'|^2, whose matrices have a
    row for each class, not for each voxel. The terms nearly cancel, so they are float64.
    """
    own, other = directions(student), directions(teacher)
    pairs = ((other, other, 1), (other, own, -2), (own, own, 1))
    terms = [sign * (first @ second.transpose(1, 2)).square().sum() for first, second, sign in pairs]
    return (torch.stack(terms).sum() / (len(own) * own.shape[2] ** 2)).float()


def chosen(count: int, number: int) -> list[int]:
    """Up to ``count`` different random numbers below ``number``."""
    found: list[int] = torch.randperm(number)[:count].tolist()
    return found


def boxes(places: Sequence[Sequence[int]], side: int) -> list[Box]:
    """Cubes of a side at all combinations of places per axis, counted in sides."""
    starts = torch.cartesian_prod(*(torch.tensor(each) for each in places)).view(-1, len(places)).tolist()
    return [tuple(slice(side * place, side * (place + 1)) for place in start) for start in starts]


def local_structure(student: Tensor, teacher: Tensor, cubes: Sequence[Box]) -> Tensor:
    """Mean of ``local_difference`` over cubes of the crops."""
    return torch.stack([local_difference(student[:, :, *cube], teacher[:, :, *cube]) for cube in cubes]).mean()
