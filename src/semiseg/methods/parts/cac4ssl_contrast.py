"""Contrast of voxels at which two decoders disagree (SmileJET/CAC4SSL: code/utils/contrast_loss.py)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-8  # added to the denominator


def anchors(disagree: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Random voxels at which the decoders disagree: places ``[b n]`` in a flattened crop, and which are valid.

    disagree: bool ``[b z y x]``; scores: random numbers in [0, 1) of the same shape. In each crop the ``count`` such
    voxels with the smallest scores are taken, or all if there are fewer; the other places are arbitrary.
    """
    ranked = scores.masked_fill(~disagree, math.inf).flatten(1)
    found, places = ranked.topk(min(count, ranked.shape[1]), largest=False)
    return places, found.isfinite()


def contrast(own: Tensor, other: Tensor, places: Tensor, valid: Tensor, temperature: float) -> Tensor:
    """Mean over crops of the mean over anchors of -ln[e^p / (e^p + S e^n + 1e-8)]; 0 for a crop without anchors.

    own, other: vectors ``[b d z y x]`` of both decoders. p is the cosine similarity over the temperature of an anchor's
    vector with the other decoder's vector of the same voxel, n with the own vector of another anchor of the crop.
    """
    with torch.autocast(own.device.type, enabled=False):
        vectors, positive = (F.normalize(_taken(maps.float(), places), dim=1) for maps in (own, other))
        near = (vectors * positive).sum(1, keepdim=True) / temperature
        far = vectors.transpose(1, 2) @ vectors / temperature
        itself = torch.eye(places.shape[1], dtype=torch.bool, device=places.device)
        far = far.masked_fill(itself | ~valid.unsqueeze(1), -math.inf)
        least = torch.full_like(near.transpose(1, 2), math.log(EPSILON))
        scores = torch.cat([near.transpose(1, 2), far, least], 2)
        losses = scores.logsumexp(2) - near.squeeze(1)
        return ((losses * valid).sum(1) / valid.sum(1).clamp(min=1)).mean()


def _taken(maps: Tensor, places: Tensor) -> Tensor:
    """Vectors ``[b d n]`` of maps ``[b d z y x]`` at places ``[b n]``."""
    return maps.flatten(2).gather(2, places.unsqueeze(1).expand(-1, maps.shape[1], -1))
