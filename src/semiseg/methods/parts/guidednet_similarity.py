"""Similarity of voxels to class prototypes, and losses on it, without a tensor of voxels x classes x channels.

Notation: I items, B of them labelled and first, K classes, C channels; spatial axes ``z y x`` or, flattened, ``v``.
Everything is float32, also under autocast. Voxels are taken in blocks that fit the cache; distances come from
``torch.cdist`` and are kept for the backward pass, everything that follows from them is computed again there.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from semiseg.blocks.class_counts import EPSILON, blocks


def gaps(points: Tensor, centres: Tensor) -> Tensor:
    """Sum over channels of |point - centre|, ``[... k v]``, of points ``[... v c]`` and centres ``[... k c]``."""
    return torch.cdist(centres, points, p=1.0)


def similarity(gap: Tensor, channels: int) -> Tensor:
    """Similarity map exp(-d^2) of any shape, 1 at the centre; d is the mean over channels, gap their sum."""
    return gap.square().mul_(-1 / channels**2).exp_()


def similarity_losses(
    labels: Tensor, present: Tensor, networks: Sequence[tuple[Tensor, Tensor]], centres: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses of M networks: ``self[m]``, ``gt[m]``, ``rectify[m]``, and the consistency of the first with the last.

    The first three are half binary cross-entropies h(t, q) = -0.5 (t ln(q + 1e-6) + (1 - t) ln(1 - q + 1e-6)), averaged
    over the classes present in the item, then over voxels and items: self h(map, probability) of labelled items, gt
    h(truth, map), rectify h(map, probability) of unlabelled ones. Consistency is the mean of the squared difference of
    softmax over classes of the two labelled maps. Gradients flow into maps, prototypes and probabilities alike.

    labels: ``[b z y x]``; present: ``[b k]`` in {0, 1}; networks: features ``[2b c z y x]`` and logits ``[2b k z y x]``
    of each; centres: ``[b k c]`` of each. Unlabelled item b + j is compared with the centres of labelled item j.
    """
    tensors = [
        tensor
        for (features, logits), centre in zip(networks, centres, strict=True)
        for tensor in (features.flatten(2), logits.flatten(2), centre)
    ]
    terms = SimilarityLosses.apply(labels.flatten(1), present, *tensors)  # type: ignore[no-untyped-call]
    own, truth, rectify, consistency = terms.split([len(networks)] * 3 + [1])
    return own, truth, rectify, consistency[0]


class SimilarityLosses(torch.autograd.Function):
    """``similarity_losses`` on flattened voxels: labels, present, then features, logits, centres network by network."""

    @staticmethod
    def forward(ctx: Any, labels: Tensor, present: Tensor, *networks: Tensor) -> Tensor:
        """Add up the losses of all blocks."""
        ctx.save_for_backward(labels, present, *networks)
        terms = torch.zeros(len(networks) + 1, device=labels.device)  # three per network, and the consistency
        with torch.autocast(labels.device.type, enabled=False):
            ctx.centres = torch.stack([paired(centre) for centre in networks[2::3]]).requires_grad_()
            ctx.measured = []
            for block in _blocks(networks):
                points = cut_points(networks, block).requires_grad_()
                with torch.enable_grad():
                    gap = gaps(points, ctx.centres)
                ctx.measured.append((points, gap))
                scores = cut_logits(networks, block)
                terms += block_losses(labels[:, block], present, similarity(gap.detach(), points.shape[3]), scores)
        return terms / labels.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Take the blocks again, this time for their gradient; the graph of the distances stays for another call."""
        labels, present, *networks = ctx.saved_tensors
        slopes, each = [torch.empty_like(tensor) for tensor in networks], gradient / labels.numel()
        with torch.autocast(labels.device.type, enabled=False):
            by_centres = torch.zeros_like(ctx.centres)
            for block, (points, gap) in zip(_blocks(networks), ctx.measured, strict=True):
                scores = cut_logits(networks, block)
                maps = similarity(gap.detach(), points.shape[3])
                by_maps, by_logits = block_slopes(labels[:, block], present, maps, scores, each)
                by_gap = by_maps.mul_(maps).mul_(gap.detach()).mul_(-2 / points.shape[3] ** 2)
                by_points, by_centre = torch.autograd.grad(gap, (points, ctx.centres), by_gap, retain_graph=True)
                by_centres += by_centre
                for m in range(len(scores)):
                    slopes[3 * m][..., block] = by_points[m].transpose(1, 2)
                    slopes[3 * m + 1][..., block] = by_logits[m]
        slopes[2::3] = (by_network[: len(labels)] + by_network[len(labels) :] for by_network in by_centres)
        return None, None, *slopes


def block_losses(labels: Tensor, present: Tensor, maps: Tensor, logits: Tensor) -> Tensor:
    """Sums over the voxels of a block of ``self[m]``, ``gt[m]``, ``rectify[m]`` and ``consistency[1]``, joined.

    labels: ``[b v]``; present: ``[b k]``; maps and logits: ``[m i k v]``. Tensors of this size are
    reused where possible, since fetching fresh memory costs more here than arithmetic.
    """
    count, classes = present.shape
    share = shares(present)
    known = mask_absent(maps[:, :count], present)
    yes, no = odds(logits.softmax(2))
    soft = no.log().addcmul_(maps, yes.div_(no).log_()).sum(3)  # ln no + map (ln yes - ln no)
    soft = -0.5 * (soft * share.repeat(2, 1)).sum(2)
    # a hard target selects one of the two logarithms: all classes as misses first, the true one corrected afterwards
    yes, no = odds(known.gather(2, labels[None, :, None].expand(len(maps), -1, -1, -1)))
    hit = yes.div_(no).log_().sum((2, 3)) / (present.sum(1) + EPSILON)
    miss = ((1 - known).add_(EPSILON).log_().sum(3) * share).sum(2)
    spread = known.softmax(2)
    consistency = (spread[0] - spread[-1]).square().sum() / classes
    parts = (soft[:, :count].sum(1), -0.5 * (miss + hit).sum(1), soft[:, count:].sum(1), consistency.view(1))
    return torch.cat(parts)


def block_slopes(
    labels: Tensor, present: Tensor, maps: Tensor, logits: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of ``block_losses`` times ``gradient`` with respect to maps and logits."""
    count, networks = len(labels), len(logits)
    own, truth, rectify, consistency = torch.split(gradient, [networks] * 3 + [1])
    upstream = torch.stack([own, rectify], 1).repeat_interleave(count, 1)
    scale = -0.5 * upstream[:, :, None, None] * shares(present).repeat(2, 1).unsqueeze(2)
    by_map, by_logit = soft_slopes(maps, logits, scale)
    by_map[:, :count] += known_slopes(mask_absent(maps[:, :count], present), labels, present, truth, consistency)
    return by_map, by_logit


def soft_slopes(maps: Tensor, logits: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of -2 scale h(maps, softmax(logits)) with respect to maps and logits, both ``[m i k v]``."""
    probability = logits.softmax(2)
    yes, no = odds(probability)
    by_map = (yes / no).log_().mul_(scale)
    by_probability = (maps * (1 + 2 * EPSILON)).sub_(yes).div_(yes.mul_(no)).mul_(scale)  # as yes + no = 1 + 2 eps
    product = by_probability.mul_(probability)
    return by_map, product.sub_(probability.mul_(product.sum(2, keepdim=True)))


def known_slopes(known: Tensor, labels: Tensor, present: Tensor, truth: Tensor, consistency: Tensor) -> Tensor:
    """Gradient of ``gt`` (times truth ``[m]``) and ``consistency`` (times its one value) by unmasked labelled maps."""
    miss, half = (1 - known).add_(EPSILON).reciprocal_(), 0.5 * truth[:, None, None, None]
    slope = miss * (half * shares(present).unsqueeze(2))
    index = labels[None, :, None].expand(len(known), -1, -1, -1)
    hit = 1 / (known.gather(2, index) + EPSILON) + miss.gather(2, index)
    slope.scatter_add_(2, index, -half * hit / (present.sum(1) + EPSILON)[:, None, None])
    spread = known.softmax(2)
    apart = (spread[0] - spread[-1]) * (2 * consistency / present.shape[1])
    for network, by_spread in ((0, apart), (-1, -apart)):
        product = spread[network] * by_spread
        slope[network] += product - spread[network] * product.sum(1, keepdim=True)
    return slope.mul_(present.unsqueeze(2))


def odds(probability: Tensor) -> tuple[Tensor, Tensor]:
    """p + 1e-6 and 1 - p + 1e-6, the two arguments of the half binary cross-entropy's logarithms."""
    return probability + EPSILON, (1 - probability).add_(EPSILON)


def shares(present: Tensor) -> Tensor:
    """Share of each class in its item's loss, ``[b k]``: 1 / (number of present classes + 1e-6), absent classes 0."""
    return present / (present.sum(1, keepdim=True) + EPSILON)


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


def _blocks(networks: Sequence[Tensor]) -> Iterator[slice]:
    logits = networks[1]
    return blocks(logits.shape[2], len(networks) // 3 * logits.numel(), logits.device)


def cut_points(networks: Sequence[Tensor], block: slice) -> Tensor:
    """Features of one block of all networks, voxel by voxel, float32 ``[m i v c]``."""
    return torch.stack([features[..., block].transpose(1, 2) for features in networks[0::3]]).float()


def cut_logits(networks: Sequence[Tensor], block: slice) -> Tensor:
    """Logits of one block of all networks, float32 ``[m i k v]``."""
    return torch.stack([logits[..., block] for logits in networks[1::3]]).float()
