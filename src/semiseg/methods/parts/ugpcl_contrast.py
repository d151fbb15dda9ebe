"""Voxels contrasted with a memory of class means (taovv/UGPCL: codes/losses/pixel_contras_loss.py, ugpcl_trainer.py).

All tensors have a fixed size, so that the host never waits for the GPU to count voxels: every image has one anchor per
class, and an anchor that does not exist is marked as absent and has weight 0.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.class_counts import class_counts, prototypes
from semiseg.blocks.losses import entropy

IGNORED = -1  # label of voxels that take no part


class Anchors(NamedTuple):
    """One voxel per image and class, image by image: vectors ``[a d]``, classes ``[a]``, and present ``[a]`` (bool)."""

    vectors: Tensor
    classes: Tensor
    present: Tensor


class Keys(NamedTuple):
    """The vectors ``[n d]`` with which anchors are compared, and their classes ``[n]``."""

    vectors: Tensor
    classes: Tensor


@torch.no_grad()
def certain_labels(first: Tensor, second: Tensor, limit: float) -> Tensor:
    """Class ids ``[u z y x]`` of the mean softmax of two logits; -1 where its entropy in nats exceeds ``limit``."""
    mean = (first.float().softmax(1) + second.float().softmax(1)) / 2
    return torch.where(entropy(mean).squeeze(1) > limit, IGNORED, mean.argmax(1))


def resized(labels: Tensor, like: Tensor) -> Tensor:
    """Labels ``[b z y x]`` on the grid of a feature map ``[b c z y x]``, by nearest neighbour."""
    return F.interpolate(labels.unsqueeze(1).float(), size=like.shape[2:]).squeeze(1).long()


def sample(embedding: Tensor, labels: Tensor, predicted: Tensor, classes: int, uniform: Tensor) -> Anchors:
    """One voxel of each class that has more than one voxel, background included.

    Easy voxels, whose prediction is right, are preferred; among them the one with the largest random number is taken.
    uniform: random numbers in [0, 1), ``[b v]`` in C order.
    embedding: ``[b d z y x]``; labels (-1: ignored) and predicted: ``[b z y x]``.
    """
    ids = torch.arange(classes, device=labels.device)
    member = labels.flatten(1).unsqueeze(1) == ids.view(-1, 1)
    easy = member & (predicted == labels).flatten(1).unsqueeze(1)
    chosen = (uniform.unsqueeze(1) + member.float() + easy.float()).argmax(2)  # [b k]
    vectors = embedding.flatten(2).gather(2, chosen.unsqueeze(1).expand(-1, embedding.shape[1], -1))
    return Anchors(vectors.transpose(1, 2).flatten(0, 1), ids.repeat(len(labels)), (member.sum(2) > 1).flatten())


def keys(queue: Tensor, background: str) -> Keys:
    """The keys of classes 1..K-1 of a queue ``[k m d]``; ``zeros`` appends m zero vectors as keys of the background."""
    size = queue.shape[1]
    organs = torch.arange(1, len(queue), device=queue.device).repeat_interleave(size)
    if background == "drop":
        return Keys(queue[1:].flatten(0, 1), organs)
    blank = torch.zeros_like(queue[:1])
    return Keys(torch.cat([queue[1:], blank]).flatten(0, 1), torch.cat([organs, torch.zeros_like(organs[:size])]))


def contrast(
    anchors: Anchors, keys: Keys, temperature: float, base_temperature: float, mask_self: bool = True
) -> Tensor:
    """Supervised contrastive loss, mean over the present anchors, 0 without any; float32, also under autocast.

    With s = a q / T: L_i = -(T / T_base) sum_j P_ij [s_ij - ln(exp s_ij + sum_j exp s_ij (1 - [same class]))] over
    sum_j P_ij + 1e-5. P_ij is 1 for keys of the anchor's class. ``mask_self`` removes key i from the positives of the
    i-th present anchor. Where anchors are compared with each other this key is the anchor itself; with a memory it is
    an ordinary key, but the official code removes it there as well.
    """
    vectors, classes, present = anchors
    with torch.autocast(vectors.device.type, enabled=False):
        scores = vectors.float() @ keys.vectors.float().T / temperature
    scores = scores - scores.detach().amax(1, keepdim=True)
    same = classes.unsqueeze(1) == keys.classes
    power = scores.exp()
    negatives = (power * ~same).sum(1, keepdim=True)
    if mask_self:
        number = present.cumsum(0) - 1
        same = same & (number.unsqueeze(1) != torch.arange(same.shape[1], device=same.device))
    gain = (same * (scores - (power + negatives).log())).sum(1) / (same.sum(1) + 1e-5)
    return -temperature / base_temperature * (gain * present).sum() / present.sum().clamp(min=1)


def class_means(embedding: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Unit mean vector of each image and class, ``[b k d]``, and whether the image has the class, bool ``[b k]``.

    embedding: ``[b d z y x]``; labels: ``[b z y x]``, -1 is ignored.
    """
    shifted = labels - IGNORED  # ids from 0 on
    counts = class_counts(shifted, classes + 1)
    means = prototypes(embedding, shifted, counts)[:, 1:]
    return F.normalize(means, dim=2), counts[:, 1:] > 0


def enqueue(queue: Tensor, slots: Tensor, means: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """New queue ``[k m d]`` and next slots ``[k]`` after adding the means ``[b k d]`` of each image, without
    background.

    Image after image, the mean of each present class overwrites the oldest vector of that class.
    """
    queue, rows = queue.clone(), torch.arange(len(queue), device=queue.device)
    for vectors, found in zip(means, present & (rows > 0), strict=True):
        queue[rows, slots] = torch.where(found.unsqueeze(1), vectors, queue[rows, slots])
        slots = (slots + found) % queue.shape[1]
    return queue, slots
