"""Unreliable voxels attracted by their nearest neighbours and repelled by distant voxels, without pseudo labels (DVCL).

Source: Zhao et al., ICCV 2025, supplement, appendix G: the loss is its bound without the constant. The supplement names
three further steps without formulas, so their rules are ours: ranking neighbours, leaving out outlying queries, and
weighting neighbours.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Pool(NamedTuple):
    """Unreliable voxels: probabilities ``[p k]``, vectors that rank them ``[p d]``, and whether they exist, bool
    ``[p]``.

    The similarity of two voxels is the dot product of their vectors: a cosine if these have length 1.
    """

    probabilities: Tensor
    vectors: Tensor
    exists: Tensor


def join(pools: Sequence[Pool]) -> Pool:
    """The voxels of several pools, one pool after the other."""
    return Pool(
        torch.cat([pool.probabilities for pool in pools]),
        torch.cat([pool.vectors for pool in pools]),
        torch.cat([pool.exists for pool in pools]),
    )


class Links(NamedTuple):
    """Voxels of the pool that each query is compared with, as positions in the pool.

    neighbours: ``[q K]``; similarity: ``[q K]``, -inf where the pool is too small to have K others; affinity: ``[q
    K]``.
    distant: ``[q K']``; distant_exists: bool ``[q K']``, False where the pool is too small to have K' others.
    """

    neighbours: Tensor
    similarity: Tensor
    affinity: Tensor
    distant: Tensor
    distant_exists: Tensor


@torch.no_grad()
def links(pool: Pool, queries: Tensor, neighbours: int, distant: int, one_sided_affinity: float) -> Links:
    """The K = ``neighbours`` most similar and the K' = ``distant`` least similar others of queries ``[q]``.

    The affinity of a neighbour is 1 if the query is also among the K most similar others of the neighbour, and
    ``one_sided_affinity`` if not (reciprocal neighbours, as in Yang et al., NeurIPS 2021).
    """
    scores = _similarities(pool, queries)
    neighbours = min(neighbours, len(pool.exists))
    similarity, found = scores.topk(neighbours)
    of_neighbours = _similarities(pool, found.flatten()).topk(neighbours).indices.view(*found.shape, neighbours)
    mutual = (of_neighbours == queries.view(-1, 1, 1)).any(2)
    affinity = torch.where(mutual, 1.0, one_sided_affinity)
    reversed_scores = torch.where(scores == -torch.inf, torch.inf, scores)
    lowest, far = reversed_scores.topk(min(distant, scores.shape[1]), largest=False)
    return Links(found, similarity, affinity, far, lowest < torch.inf)


def dense(similarity: Tensor, exists: Tensor) -> Tensor:
    """Existing queries that are not outliers, bool ``[q]``.

    A query is no outlier if its mean similarity to its neighbours is at least the mean over the existing queries minus
    their population SD. similarity: ``[q K]``, -inf for a missing neighbour; exists: bool ``[q]``.
    """
    found = similarity > -torch.inf
    density = torch.where(found, similarity, 0).sum(1) / found.sum(1).clamp(min=1)
    number = exists.sum().clamp(min=1)
    mean = (density * exists).sum() / number
    deviation = ((density - mean).square() * exists).sum().div(number).sqrt()
    return exists & (density >= mean - deviation)


def bound(probabilities: Tensor, queries: Tensor, linked: Links) -> Tensor:
    """Sum over distant voxels of p_m p_k minus sum over neighbours of A p_m p_n, ``[q]``.

    p_m are the probabilities of the query, which alone receive gradients; A is the affinity.
    """
    own, others = probabilities[queries].unsqueeze(1), probabilities.detach()
    to_neighbours = (own * others[linked.neighbours]).sum(2)
    to_distant = (own * others[linked.distant]).sum(2)
    pull = to_neighbours * linked.affinity * (linked.similarity > -torch.inf)
    return (to_distant * linked.distant_exists).sum(1) - pull.sum(1)


def neighbour_loss(pool: Pool, queries: Tensor, neighbours: int, distant: int, one_sided_affinity: float) -> Tensor:
    """Mean of ``bound`` over the queries ``[q]`` that exist and are dense; 0 without any."""
    linked = links(pool, queries, neighbours, distant, one_sided_affinity)
    kept = dense(linked.similarity, pool.exists[queries])
    return (bound(pool.probabilities, queries, linked) * kept).sum() / kept.sum().clamp(min=1)


def _similarities(pool: Pool, rows: Tensor) -> Tensor:
    """Similarity ``[r p]`` of some voxels of the pool to all of it; -inf to themselves and to missing voxels."""
    with torch.autocast(rows.device.type, enabled=False):
        scores = pool.vectors[rows] @ pool.vectors.T
    own = rows.unsqueeze(1) == torch.arange(len(pool.exists), device=rows.device)
    return scores.masked_fill(own | ~pool.exists, -torch.inf)
