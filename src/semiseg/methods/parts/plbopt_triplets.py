"""Triplet loss and mutual correction of PLBOpt (Ji, Ye, Ma: Eqs. 3 to 10).

The domain of a voxel is its organ and its level of confidence. In each domain, border voxels are anchors and positives,
and interior voxels are negatives. All tensors have fixed sizes, so that the CPU never waits for a GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks.memory import ClassMemory
from semiseg.blocks.voxels import draw, gather

LEAD = 4.0  # of a vector of the same level over others: more than any two cosines differ by


@dataclass(frozen=True)
class View:
    """What one network gives for the unlabelled crops of a step.

    features: ``[u d z y x]``; probabilities: ``[u k z y x]``, with gradient; labels: pseudo labels ``[u z y x]``.
    """

    features: Tensor
    probabilities: Tensor
    labels: Tensor

    @property
    def confidence(self) -> Tensor:
        """The largest probability of each voxel, ``[u z y x]``, without gradient."""
        return self.probabilities.detach().amax(1)


def on_border(labels: Tensor) -> Tensor:
    """Voxels with another label at one of their six sides, bool ``[n z y x]``; the outside of a crop is no label."""
    border = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (1, 2, 3):
        last = labels.shape[axis] - 1
        differs = labels.narrow(axis, 1, last) != labels.narrow(axis, 0, last)
        border.narrow(axis, 1, last).logical_or_(differs)
        border.narrow(axis, 0, last).logical_or_(differs)
    return border


def confidence_levels(confidence: Tensor, labels: Tensor, levels: int) -> Tensor:
    """Level of each voxel, 0 for the least certain part; limits are quantiles of the confidence of all organ voxels."""
    is_organ = labels > 0
    ordered = torch.where(is_organ, confidence, torch.inf).flatten().sort().values
    parts = torch.arange(1, levels, device=labels.device)
    limits = ordered[(is_organ.sum() * parts // levels).clamp(max=len(ordered) - 1)]
    return torch.searchsorted(limits, confidence.contiguous(), right=True)


@dataclass(frozen=True)
class Vectors:
    """Vectors ``[k n d]`` of n places for each of k organs. levels: ``[k n]``; valid: whether a place is filled."""

    values: Tensor
    levels: Tensor
    valid: Tensor

    def detach(self) -> "Vectors":
        """The same vectors without gradient."""
        return Vectors(self.values.detach(), self.levels, self.valid)

    @classmethod
    def join(cls, parts: Sequence["Vectors"]) -> "Vectors":
        """The places of all parts, one part after another."""
        return cls(*(torch.cat([getattr(part, name) for part in parts], 1) for name in ("values", "levels", "valid")))


class Bank(nn.Module):
    """Memory of the newest ``capacity`` vectors of each organ with their levels; the oldest leave first (Eq. 7)."""

    def __init__(self, organs: int, capacity: int, dimension: int) -> None:
        super().__init__()
        self.memory = ClassMemory(organs, capacity, dimension + 1)  # the last number of a vector is its level

    @torch.no_grad()
    def push(self, new: Vectors) -> Vectors:
        """Store the valid new vectors. Returns those of earlier steps that are still stored."""
        organs, capacity, _ = self.memory.vectors.shape
        before, place = self.memory.written.unsqueeze(1), torch.arange(capacity, device=new.values.device)
        rows = torch.cat([new.values, new.levels.unsqueeze(2)], 2).flatten(0, 1)
        owners = torch.arange(organs, device=rows.device).repeat_interleave(new.valid.shape[1])
        self.memory.push(rows, owners, new.valid.flatten())
        overwritten = (place - before) % capacity < self.memory.written.unsqueeze(1) - before
        stored = self.memory.vectors
        return Vectors(stored[..., :-1], stored[..., -1], (place < before) & ~overwritten)


class Triplets(nn.Module):
    """L_tri: over anchors max(0, |a - p|^2 - |a - n|^2 + alpha), on features of unit length.

    organs: number of classes without the background; dimension: of a feature; levels: of confidence; capacity: vectors
    that each of the two banks keeps of an organ; drawn: most border voxels, and most interior voxels, that a step uses
    of a domain of each network.
    alpha: margin. mining ``paper``: p has the highest cosine to the anchor and n the lowest, as Eqs. 5 and 6 say;
    ``hard``: the other way round. reduction ``mean``: the sum over levels of the mean over the anchors of a level;
    ``sum``: the sum over all anchors.
    """

    def __init__(
        self,
        organs: int,
        dimension: int,
        levels: int,
        capacity: int,
        drawn: int,
        alpha: float,
        mining: str,
        reduction: str,
    ) -> None:
        super().__init__()
        if min(levels, drawn) < 1:
            raise UserError(f"PLBOpt: levels and drawn must be 1 or more; found {levels} and {drawn}")
        self.organs, self.levels, self.drawn = organs, levels, drawn
        self.alpha, self.mining, self.reduction = alpha, mining, reduction
        self.border, self.interior = (Bank(organs, capacity, dimension) for _ in range(2))

    def forward(self, views: Sequence[View]) -> Tensor:
        """L_tri of all networks together. The banks receive the vectors of all of them before the search."""
        pairs = [self.vectors(each) for each in views]
        borders = Vectors.join([border for border, _ in pairs]).detach()
        interiors = Vectors.join([interior for _, interior in pairs]).detach()
        positives = Vectors.join([borders, self.border.push(borders)])
        negatives = Vectors.join([interiors, self.interior.push(interiors)])
        size = self.levels * self.drawn
        losses = [self.loss(anchors, number * size, positives, negatives) for number, (anchors, _) in enumerate(pairs)]
        return torch.stack(losses).sum()

    def vectors(self, own: View) -> tuple[Vectors, Vectors]:
        """Random border and interior voxels of a network, up to ``drawn`` of each domain."""
        domains = self.organs * self.levels
        level = confidence_levels(own.confidence, own.labels, self.levels)
        ids = (own.labels - 1) * self.levels + level + domains * ~on_border(own.labels)
        places, valid = draw(torch.where(own.labels > 0, ids, 2 * domains), 2 * domains, self.drawn)
        found = F.normalize(gather(own.features, places.flatten()).float(), dim=1)
        values = found.view(2, self.organs, self.levels * self.drawn, -1)
        levels = torch.arange(self.levels, device=valid.device).repeat_interleave(self.drawn).expand(self.organs, -1)
        border, interior = (
            Vectors(each, levels.float(), filled)
            for each, filled in zip(values, valid.view(2, self.organs, -1), strict=True)
        )
        return border, interior

    def loss(self, anchors: Vectors, first: int, positives: Vectors, negatives: Vectors) -> Tensor:
        """L_tri of one network, whose anchors stand among the positives from place ``first`` on."""
        nearest, has_positive = chosen(anchors, positives, self.levels, highest=self.mining == "paper", itself=first)
        farthest, has_negative = chosen(anchors, negatives, self.levels, highest=self.mining == "hard")
        usable = anchors.valid & has_positive & has_negative
        found = triplet_loss(anchors.values, nearest, farthest, self.alpha) * usable
        by_level = found.view(self.organs, self.levels, self.drawn).sum((0, 2))
        if self.reduction == "sum":
            return by_level.sum()
        return (by_level / usable.view(self.organs, self.levels, self.drawn).sum((0, 2)).clamp(min=1)).sum()


@torch.no_grad()
def chosen(
    anchors: Vectors, others: Vectors, levels: int, *, highest: bool, itself: int | None = None
) -> tuple[Tensor, Tensor]:
    """For each anchor the vector ``[k n d]`` of its domain with the highest or lowest cosine, and whether there is one.

    itself: place from which on the anchors stand among the others; an anchor does not choose itself. All vectors have
    unit length. One product gives the cosine, and LEAD more where the level is the same, so that no mask is needed.
    """
    with torch.autocast(anchors.values.device.type, enabled=False):
        sign, each = 1.0 if highest else -1.0, torch.arange(levels, device=anchors.values.device)
        own = (anchors.levels.unsqueeze(2) == each) * LEAD
        same = (others.levels.unsqueeze(2) == each) & others.valid.unsqueeze(2)
        left, right = torch.cat([sign * anchors.values, own], 2), torch.cat([others.values, same], 2)
        ranked = left @ right.transpose(1, 2)
    if itself is not None:
        ranked.diagonal(itself, 1, 2).fill_(-LEAD)
    best, places = ranked.max(2, keepdim=True)
    return others.values.gather(1, places.expand(-1, -1, others.values.shape[2])), best.squeeze(2) > LEAD / 2


def triplet_loss(anchors: Tensor, positives: Tensor, negatives: Tensor, alpha: float) -> Tensor:
    """max(0, |a - p|^2 - |a - n|^2 + alpha) of vectors along the last axis."""
    near, far = ((anchors - others).square().sum(-1) for others in (positives, negatives))
    return F.relu(near - far + alpha)


def mutual_correction(a: Tensor, b: Tensor, limit: float, gradient: str, divisor: str) -> Tensor:
    """L_MC = S(C |p_A - p_B|^2) / S(C), where C is 1 at voxels where exactly one network is confident (Eqs. 9, 10).

    a, b: probabilities ``[u k z y x]``. A network is confident where its largest probability exceeds the limit.
    gradient ``unsure``: it reaches the network that is not confident; ``both``: both. divisor ``disputed``: the number
    of voxels with C = 1; ``crops``: u.
    """
    sure_a, sure_b = (each.detach().amax(1, keepdim=True) > limit for each in (a, b))
    disputed = sure_a ^ sure_b
    if gradient == "unsure":
        a, b = torch.where(sure_a, a.detach(), a), torch.where(sure_b, b.detach(), b)
    total = ((a - b).square() * disputed).sum()
    return total / (disputed.sum().clamp(min=1) if divisor == "disputed" else len(a))
