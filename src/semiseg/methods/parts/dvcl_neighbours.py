"""Voxels attracted by their nearest neighbours and repelled by distant voxels, without pseudo labels (DVCL).

Source: Zhao et al., ICCV 2025, supplement, appendix G: the loss is its bound without the constant. How neighbours are
ranked, outlying queries left out and neighbours weighted is ours: the supplement names these steps without formulas.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Pool(NamedTuple):
    """Unreliable voxels: probabilities ``[p k]``, vectors that rank them ``[p d]``, and which exist, bool ``[p]``.

    The similarity of two voxels is the product of their vectors: a cosine if these are of length 1.
    """

    probabilities: Tensor
    vectors: Tensor
    exists: Tensor


class Links(NamedTuple):
    """Of each query: neighbours ``[q K]`` with similarity and affinity, outsiders ``[q K']``; numbers in the pool.

    ``near`` is -inf and ``apart`` false where the pool is too small to have that many others.
    """

    neighbours: Tensor
    near: Tensor
    affinity: Tensor
    outsiders: Tensor
    apart: Tensor


@torch.no_grad()
def links(pool: Pool, queries: Tensor, neighbours: int, outsiders: int, doubt: float) -> Links:
    """The K most and the K' least similar others of queries ``[q]``.

    Affinity (reciprocal neighbours, as in Yang et al., NeurIPS 2021): 1 if the query is among the K most similar others
    of its neighbour as well, ``doubt`` if not.
    """
    scores = _scores(pool, queries)
    neighbours = min(neighbours, len(pool.exists))
    near, found = scores.topk(neighbours)
    theirs = _scores(pool, found.flatten()).topk(neighbours).indices.view(*found.shape, neighbours)
    mutual = (theirs == queries.view(-1, 1, 1)).any(2)
    remote, strangers = torch.where(scores == -torch.inf, torch.inf, scores).topk(
        min(outsiders, scores.shape[1]), largest=False
    )
    return Links(found, near, torch.where(mutual, 1.0, doubt), strangers, remote < torch.inf)


def dense(near: Tensor, wanted: Tensor) -> Tensor:
    """Queries that are no outliers: mean similarity to their neighbours >= mean - SD of that over the wanted queries.

    near: ``[q K]``, -inf for a neighbour that does not exist; wanted, result: bool ``[q]``; population SD.
    """
    there = near > -torch.inf
    density = torch.where(there, near, 0).sum(1) / there.sum(1).clamp(min=1)
    number = wanted.sum().clamp(min=1)
    mean = (density * wanted).sum() / number
    spread = ((density - mean).square() * wanted).sum().div(number).sqrt()
    return wanted & (density >= mean - spread)


def bound(probabilities: Tensor, queries: Tensor, of: Links) -> Tensor:
    """- sum over neighbours of A p_m p_n + sum over outsiders of p_m p_k, ``[q]``; gradients reach p_m alone."""
    own, others = probabilities[queries], probabilities.detach()
    alike, unlike = ((own.unsqueeze(1) * others[group]).sum(2) for group in (of.neighbours, of.outsiders))
    pull = alike * of.affinity * (of.near > -torch.inf)
    return (unlike * of.apart).sum(1) - pull.sum(1)


def neighbour_loss(pool: Pool, queries: Tensor, neighbours: int, outsiders: int, doubt: float) -> Tensor:
    """Mean of ``bound`` over the queries ``[q]`` that exist and are dense; 0 without any."""
    of = links(pool, queries, neighbours, outsiders, doubt)
    kept = dense(of.near, pool.exists[queries])
    return (bound(pool.probabilities, queries, of) * kept).sum() / kept.sum().clamp(min=1)


def _scores(pool: Pool, rows: Tensor) -> Tensor:
    """Similarity ``[r p]`` of voxels of the pool to all of it; -inf to themselves and to what does not exist."""
    with torch.autocast(rows.device.type, enabled=False):
        scores = pool.vectors[rows] @ pool.vectors.T
    own = rows.unsqueeze(1) == torch.arange(len(pool.exists), device=rows.device)
    return scores.masked_fill(own | ~pool.exists, -torch.inf)
