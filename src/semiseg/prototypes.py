"""Similarity of voxels to class prototypes, and losses on it, without a tensor of voxels x classes x channels.

Notation: I items, B of them labelled and first, K classes, C channels; spatial axes ``z y x`` or, flattened, ``v``.
Everything is float32, also under autocast. Voxels are taken in blocks that fit the cache; distances come from
``torch.cdist``, and the backward pass computes them again instead of keeping them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-6
BLOCK_VALUES = {"cpu": 2**18, "cuda": 2**24}  # distances of one block: 1 MiB of the cache, or enough to fill a GPU


def class_counts(labels: Tensor, classes: int) -> Tensor:
    """Voxels of each class per item, float32 ``[b k]``, of labels ``[b z y x]``."""
    flat = labels.flatten(1)
    ones = torch.ones((), device=labels.device).expand(flat.shape)
    return torch.zeros(len(flat), classes, device=labels.device).scatter_add_(1, flat, ones)


def prototypes(features: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Mean feature of each class and item, ``[b k c]``: sum / (count + 1e-6), so a zero vector for an absent class.

    features: ``[b c z y x]``; labels: ``[b z y x]``; counts: ``[b k]``, as from ``class_counts``.
    """
    sums = ClassSums.apply(features.flatten(2), labels.flatten(1), counts.shape[1])
    return sums / (counts + EPSILON).unsqueeze(2)  # type: ignore[no-any-return]


def similarity(features: Tensor, centres: Tensor) -> Tensor:
    """exp(-d^2) ``[... k v]``, d being the mean over channels of |feature - centre|.

    features: ``[... c v]``; centres: ``[... k c]``.
    """
    distance = torch.cdist(centres, features.transpose(-1, -2).contiguous(), p=1.0) / features.shape[-2]
    return torch.exp(-distance.square())


def half_binary_ce(target: Tensor, probability: Tensor) -> Tensor:
    """-0.5 (t ln(q + 1e-6) + (1 - t) ln(1 - q + 1e-6)), element by element."""
    return -0.5 * torch.lerp((1 - probability + EPSILON).log(), (probability + EPSILON).log(), target)


def similarity_losses(
    labels: Tensor, present: Tensor, networks: Sequence[tuple[Tensor, Tensor]], centres: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses of M networks: ``self[m]``, ``gt[m]``, ``rectify[m]``, and the consistency of the first with the last.

    labels: ``[b z y x]``; present: ``[b k]`` in {0, 1}; networks: features ``[2b c z y x]`` and logits ``[2b k z y x]``
    of each; centres: ``[b k c]`` of each. Unlabelled item b + j is compared with the centres of labelled item j.
    """
    tensors = [
        tensor
        for (features, logits), centre in zip(networks, centres, strict=True)
        for tensor in (features.flatten(2), logits.flatten(2), centre)
    ]
    terms = SimilarityLosses.apply(labels.flatten(1), present, *tensors)
    own, truth, rectify, consistency = terms.split([len(networks)] * 3 + [1])
    return own, truth, rectify, consistency[0]


class ClassSums(torch.autograd.Function):
    """Sum of the features of each class, ``[b k c]``, of features ``[b c v]`` and labels ``[b v]``."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Add up block by block: a one-hot map of all voxels would cost as much as the features."""
        ctx.save_for_backward(labels)
        ctx.dtype = features.dtype
        ids = torch.arange(classes, device=labels.device)
        sums = torch.zeros(len(features), classes, features.shape[1], device=features.device)
        with torch.autocast(features.device.type, enabled=False):
            for block in blocks(labels.shape[1], labels.numel() * classes, features.device):
                members = (labels[:, None, block] == ids[:, None]).float()
                sums += members @ features[..., block].float().transpose(1, 2)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Each voxel receives the gradient of its class."""
        (labels,) = ctx.saved_tensors
        index = labels.unsqueeze(1).expand(-1, gradient.shape[2], -1)
        return gradient.transpose(1, 2).gather(2, index).to(ctx.dtype), None, None


class SimilarityLosses(torch.autograd.Function):
    """``similarity_losses`` on flattened voxels: labels, present, then features, logits, centres network by network."""

    @staticmethod
    def forward(ctx: Any, labels: Tensor, present: Tensor, *networks: Tensor) -> Tensor:
        """Add up the losses of all blocks."""
        ctx.save_for_backward(labels, present, *networks)
        features, logits, centres = networks[0::3], networks[1::3], networks[2::3]
        terms = torch.zeros(3 * len(features) + 1, device=labels.device)
        with torch.autocast(labels.device.type, enabled=False):
            both = torch.stack([paired(centre) for centre in centres])
            for block in _blocks(networks):
                terms += block_losses(labels[:, block], present, cut(features, block), cut(logits, block), both)
        return terms / labels.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Compute each block again, this time with gradients."""
        labels, present, *networks = ctx.saved_tensors
        features, logits, centres = networks[0::3], networks[1::3], networks[2::3]
        slopes = [torch.empty_like(tensor) for tensor in networks]
        with torch.autocast(labels.device.type, enabled=False), torch.enable_grad():
            both = torch.stack([paired(centre) for centre in centres]).requires_grad_()
            total = torch.zeros_like(both)
            for block in _blocks(networks):
                inputs = [cut(features, block).requires_grad_(), cut(logits, block).requires_grad_(), both]
                terms = block_losses(labels[:, block], present, *inputs)
                by_feature, by_logit, by_centre = torch.autograd.grad(terms, inputs, gradient / labels.numel())
                total += by_centre
                for m in range(len(features)):
                    slopes[3 * m][..., block] = by_feature[m]
                    slopes[3 * m + 1][..., block] = by_logit[m]
        for m in range(len(features)):
            slopes[3 * m + 2] = torch.stack(total[m].chunk(2)).sum(0)
        return None, None, *slopes


def block_losses(labels: Tensor, present: Tensor, features: Tensor, logits: Tensor, centres: Tensor) -> Tensor:
    """Sums over the voxels of a block of ``self[m]``, ``gt[m]``, ``rectify[m]`` and ``consistency[1]``, joined.

    labels: ``[b v]``; present: ``[b k]``; features: ``[m i c v]``; logits: ``[m i k v]``; centres: ``[m i k c]``.
    An absent class has share 0 of its item's voxels, each present one 1 / (number of them + 1e-6).
    """
    count, classes = present.shape
    one = 1 / (present.sum(1, keepdim=True) + EPSILON)
    share = present * one
    maps = similarity(features, centres)
    known = mask_absent(maps[:, :count], present)
    soft = (half_binary_ce(maps, logits.softmax(2)).sum(3) * share.repeat(2, 1)).sum(2)
    # a hard target selects one of the two logarithms: all classes as misses first, the true one corrected afterwards
    miss = ((1 - known + EPSILON).log().sum(3) * share).sum(2)
    true = known.gather(2, labels[None, :, None].expand(len(maps), -1, -1, -1))
    hit = ((true + EPSILON).log() - (1 - true + EPSILON).log()).sum((2, 3)) * one[:, 0]
    spread = known.softmax(2)
    consistency = (spread[0] - spread[-1]).square().sum() / classes
    parts = (soft[:, :count].sum(1), -0.5 * (miss + hit).sum(1), soft[:, count:].sum(1), consistency.view(1))
    return torch.cat(parts)


def mask_absent(maps: Tensor, present: Tensor) -> Tensor:
    """Maps ``[... b k v]`` with 0 where the item lacks the class; present: ``[b k]``."""
    return maps * present.unsqueeze(2)


def separation(centres: Tensor, present: Tensor) -> Tensor:
    """Mean of exp(-a^2) over pairs of classes that occur in the batch; a is the mean over channels of their difference.

    centres: ``[b k c]``, SUMMED over the batch (times n / (n + 1e-6)), as in the official code; present: ``[b k]``.
    """
    number = present.sum(0)
    pooled = centres.sum(0) * (number / (number + EPSILON)).unsqueeze(1)
    gap = (pooled.unsqueeze(0) - pooled.unsqueeze(1)).abs().mean(2)
    found = (number > 0).float()
    pairs = torch.outer(found, found).triu(1)
    return (torch.exp(-gap.square()) * pairs).sum() / (pairs.sum() + EPSILON)


def paired(centres: Tensor) -> Tensor:
    """Centres of the labelled items, then the same for the unlabelled ones: ``[2b k c]``."""
    return torch.cat([centres, centres])


def blocks(voxels: int, values: int, device: torch.device) -> Iterator[slice]:
    """Slices of the voxel axis; ``values`` is the size that the whole axis would have in memory."""
    size = max(1, voxels * BLOCK_VALUES[device.type] // values)
    return (slice(start, start + size) for start in range(0, voxels, size))


def _blocks(networks: Sequence[Tensor]) -> Iterator[slice]:
    logits = networks[1]
    return blocks(logits.shape[2], len(networks) // 3 * logits.numel(), logits.device)


def cut(tensors: Sequence[Tensor], block: slice) -> Tensor:
    """The block of each network's tensor as float32, stacked."""
    return torch.stack([tensor[..., block] for tensor in tensors]).float()
