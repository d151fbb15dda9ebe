"""Similarity of voxels to class prototypes, and the losses on it, in little memory (GuidedNet).

``reference_similarity_losses`` is the plain formula of WHAT is computed. It needs tensors of classes x channels x
voxels, which do not fit into memory for real crops. ``similarity_losses`` computes the same numbers in blocks of voxels
that fit the cache, with a backward pass written by hand. The test that values and gradients of both agree is
``test_values_and_gradients_equal_the_reference`` in ``tests/methods/test_guidednet.py``; run it after every change.

Notation: I items, the first B of them labelled; K classes; C channels; M networks; the spatial axes are ``z y x`` or,
flattened, ``v``. Everything is float32, also under autocast. The L1 distances come from ``torch.cdist`` and are kept
for the backward pass; all that follows from them is computed a second time there.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from semiseg.blocks.class_counts import EPSILON, blocks
from semiseg.blocks.losses import one_hot

Losses = tuple[Tensor, Tensor, Tensor, Tensor]


def reference_similarity_losses(
    labels: Tensor, present: Tensor, networks: Sequence[tuple[Tensor, Tensor]], centres: Sequence[Tensor]
) -> Losses:
    """The plain formula of ``similarity_losses``, on whole tensors; arguments and results are the same."""
    truth = one_hot(labels, present.shape[1]).flatten(2).float()
    own, gt, rectify, spreads = [], [], [], []
    for (features, logits), centre in zip(networks, centres, strict=True):
        distance = (features.flatten(2).unsqueeze(1) - paired(centre).unsqueeze(3)).abs().mean(2)
        maps, probability = torch.exp(-distance.square()), logits.flatten(2).softmax(1)
        known = mask_absent(maps[: len(labels)], present)
        own.append(half_bce(known, probability[: len(labels)], present))
        gt.append(half_bce(truth, known, present))
        rectify.append(half_bce(maps[len(labels) :], probability[len(labels) :], present))
        spreads.append(known.softmax(1))
    consistency = (spreads[0] - spreads[-1]).square().mean()
    return torch.stack(own), torch.stack(gt), torch.stack(rectify), consistency


def half_bce(target: Tensor, probability: Tensor, present: Tensor) -> Tensor:
    """Half binary cross-entropy, averaged over the classes present in the item, then over voxels and items.

    target, probability: ``[b k v]``; present: ``[b k]`` in {0, 1}.
    """
    yes, no = bce_arguments(probability)
    loss = -0.5 * (target * yes.log() + (1 - target) * no.log())
    return (loss * class_fractions(present).unsqueeze(2)).sum(1).mean()


def similarity_losses(
    labels: Tensor, present: Tensor, networks: Sequence[tuple[Tensor, Tensor]], centres: Sequence[Tensor]
) -> Losses:
    """Losses of M networks: ``self[m]``, ``gt[m]``, ``rectify[m]``, and the consistency of the first with the last.

    The similarity map of a class is exp(-d^2), with d the mean over channels of the distance to the class's centre.
    With h(target, probability) the ``half_bce``: self is h(map, probability) and gt is h(truth, map), both of labelled
    items; rectify is h(map, probability) of unlabelled items. The consistency is the mean of the squared difference of
    the two networks' labelled maps after a softmax over classes. Gradients flow into maps, prototypes and probabilities
    alike.

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
        """Sum the losses over all blocks."""
        ctx.save_for_backward(labels, present, *networks)
        terms = torch.zeros(len(networks) + 1, device=labels.device)  # three per network, and the consistency
        with torch.autocast(labels.device.type, enabled=False):
            ctx.centres = torch.stack([paired(centre) for centre in networks[2::3]]).requires_grad_()
            ctx.measured = []
            for block in _blocks(networks):
                points = cut_points(networks, block).requires_grad_()
                with torch.enable_grad():
                    distances = l1_distances(points, ctx.centres)
                ctx.measured.append((points, distances))
                maps = similarity(distances.detach(), points.shape[3])
                terms += block_losses(labels[:, block], present, maps, cut_logits(networks, block))
        return terms / labels.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradient block by block; the graph of the distances is kept for a second call."""
        labels, present, *networks = ctx.saved_tensors
        gradients, upstream = [torch.empty_like(tensor) for tensor in networks], upstream / labels.numel()
        with torch.autocast(labels.device.type, enabled=False):
            by_centres = torch.zeros_like(ctx.centres)
            for block, (points, distances) in zip(_blocks(networks), ctx.measured, strict=True):
                logits = cut_logits(networks, block)
                maps = similarity(distances.detach(), points.shape[3])
                by_maps, by_logits = block_gradients(labels[:, block], present, maps, logits, upstream)
                by_distances = by_maps.mul_(maps).mul_(distances.detach()).mul_(-2 / points.shape[3] ** 2)
                by_points, by_centres_here = torch.autograd.grad(
                    distances, (points, ctx.centres), by_distances, retain_graph=True
                )
                by_centres += by_centres_here
                for m in range(len(logits)):
                    gradients[3 * m][..., block] = by_points[m].transpose(1, 2)
                    gradients[3 * m + 1][..., block] = by_logits[m]
        gradients[2::3] = (each[: len(labels)] + each[len(labels) :] for each in by_centres)
        return None, None, *gradients


def l1_distances(points: Tensor, centres: Tensor) -> Tensor:
    """Sum over channels of |point - centre|, ``[... k v]``, of points ``[... v c]`` and centres ``[... k c]``."""
    return torch.cdist(centres, points, p=1.0)


def similarity(distances: Tensor, channels: int) -> Tensor:
    """Similarity map exp(-d^2) of any shape, 1 at the centre; d is the L1 distance over the number of channels."""
    return distances.square().mul_(-1 / channels**2).exp_()


def block_losses(labels: Tensor, present: Tensor, maps: Tensor, logits: Tensor) -> Tensor:
    """Sums over the voxels of a block of ``self[m]``, ``gt[m]``, ``rectify[m]`` and ``consistency[1]``, concatenated.

    labels: ``[b v]``; present: ``[b k]``; maps and logits: ``[m i k v]``. Tensors of this size are reused where
    possible, because fetching fresh memory costs more here than arithmetic.
    """
    count, classes = present.shape
    fractions = class_fractions(present)
    known = mask_absent(maps[:, :count], present)
    yes, no = bce_arguments(logits.softmax(2))
    soft = no.log().addcmul_(maps, yes.div_(no).log_()).sum(3)  # ln no + map (ln yes - ln no)
    soft = -0.5 * (soft * fractions.repeat(2, 1)).sum(2)
    # With a hard target the true class adds ln yes and every other class ln no: sum ln no over all classes, then add
    # ln yes - ln no of the true one.
    yes, no = bce_arguments(known.gather(2, labels[None, :, None].expand(len(maps), -1, -1, -1)))
    true_class = yes.div_(no).log_().sum((2, 3)) / (present.sum(1) + EPSILON)
    all_classes = ((1 - known).add_(EPSILON).log_().sum(3) * fractions).sum(2)
    spread = known.softmax(2)
    consistency = (spread[0] - spread[-1]).square().sum() / classes
    truth = -0.5 * (all_classes + true_class).sum(1)
    return torch.cat((soft[:, :count].sum(1), truth, soft[:, count:].sum(1), consistency.view(1)))


def block_gradients(
    labels: Tensor, present: Tensor, maps: Tensor, logits: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of ``block_losses`` times ``upstream`` with respect to maps and logits."""
    count, networks = len(labels), len(logits)
    own, truth, rectify, consistency = torch.split(upstream, [networks] * 3 + [1])
    by_item = torch.stack([own, rectify], 1).repeat_interleave(count, 1)
    scale = -0.5 * by_item[:, :, None, None] * class_fractions(present).repeat(2, 1).unsqueeze(2)
    by_maps, by_logits = soft_target_gradients(maps, logits, scale)
    known = mask_absent(maps[:, :count], present)
    by_maps[:, :count] += labelled_map_gradient(known, labels, present, truth, consistency)
    return by_maps, by_logits


def soft_target_gradients(maps: Tensor, logits: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of -2 scale h(maps, softmax(logits)) with respect to maps and logits, both ``[m i k v]``."""
    probability = logits.softmax(2)
    yes, no = bce_arguments(probability)
    by_maps = (yes / no).log_().mul_(scale)
    by_probability = (maps * (1 + 2 * EPSILON)).sub_(yes).div_(yes.mul_(no)).mul_(scale)  # as yes + no = 1 + 2 eps
    product = by_probability.mul_(probability)
    return by_maps, product.sub_(probability.mul_(product.sum(2, keepdim=True)))


def labelled_map_gradient(known: Tensor, labels: Tensor, present: Tensor, truth: Tensor, consistency: Tensor) -> Tensor:
    """Gradient of ``gt`` times truth ``[m]`` and of ``consistency`` times its upstream, by labelled maps before
    masking.

    known: masked labelled maps ``[m b k v]``.
    """
    by_no, half = (1 - known).add_(EPSILON).reciprocal_(), 0.5 * truth[:, None, None, None]
    gradient = by_no * (half * class_fractions(present).unsqueeze(2))
    index = labels[None, :, None].expand(len(known), -1, -1, -1)
    by_true_class = 1 / (known.gather(2, index) + EPSILON) + by_no.gather(2, index)
    gradient.scatter_add_(2, index, -half * by_true_class / (present.sum(1) + EPSILON)[:, None, None])
    spread = known.softmax(2)
    by_first = (spread[0] - spread[-1]) * (2 * consistency / present.shape[1])
    for network, by_spread in ((0, by_first), (-1, -by_first)):
        product = spread[network] * by_spread
        gradient[network] += product - spread[network] * product.sum(1, keepdim=True)
    return gradient.mul_(present.unsqueeze(2))


def bce_arguments(probability: Tensor) -> tuple[Tensor, Tensor]:
    """The arguments of the logarithms of the half binary cross-entropy: p + 1e-6 and 1 - p + 1e-6."""
    return probability + EPSILON, (1 - probability).add_(EPSILON)


def class_fractions(present: Tensor) -> Tensor:
    """Weight of each class in its item's loss, ``[b k]``: 1 / (number of present classes + 1e-6); 0 for absent ones."""
    return present / (present.sum(1, keepdim=True) + EPSILON)


def mask_absent(maps: Tensor, present: Tensor) -> Tensor:
    """Maps ``[... b k v]`` with 0 for classes that the item lacks; present: ``[b k]``."""
    return maps * present.unsqueeze(2)


def separation(centres: Tensor, present: Tensor) -> Tensor:
    """Mean of exp(-a^2) over pairs of classes that occur in the batch; a is the mean over channels of their L1
    distance.

    centres: ``[b k c]``, SUMMED over the batch (times n / (n + 1e-6)), as in the official code; present: ``[b k]``.
    """
    number = present.sum(0)
    pooled = centres.sum(0) * (number / (number + EPSILON)).unsqueeze(1)
    distance = (pooled.unsqueeze(0) - pooled.unsqueeze(1)).abs().mean(2)
    found = (number > 0).float()
    pairs = torch.outer(found, found).triu(1)
    return (torch.exp(-distance.square()) * pairs).sum() / (pairs.sum() + EPSILON)


def paired(centres: Tensor) -> Tensor:
    """Centres of the labelled items twice, since unlabelled items are compared with them as well: ``[2b k c]``."""
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
