"""Decoders of cac4ssl: logits at five scales, attention to contours, and vectors of voxels.

Source: SmileJET/CAC4SSL: code/networks/VNet_mso.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.networks.vnet import Decoder, VNet


class Outputs(NamedTuple):
    """What a decoder gives: logits ``[b k ...]`` at full size, 1/2, 1/4, 1/8 and 1/16, and vectors ``[b d z y x]``."""

    logits: tuple[Tensor, ...]
    vectors: Tensor


class ScaleHeads(nn.Module):
    """Heads of the four coarser scales of a decoder, finest first, and the projection of its last map to vectors."""

    def __init__(self, widths: Sequence[int], classes: int, dimension: int) -> None:
        super().__init__()
        full = widths[0]
        self.sides = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in widths[1:])
        self.projection = nn.Sequential(
            nn.Conv3d(full, full, 3, padding=1), nn.PReLU(), nn.Conv3d(full, dimension, 3, padding=1)
        )

    def official_modules(self) -> dict[str, str]:
        """The names of the source."""
        sides = {f"sides.{number}": f"out_conv_{8 - number}" for number in range(len(self.sides))}
        return {**sides, **{f"projection.{layer}": f"proj.{layer}" for layer in range(3)}}


def plain(network: VNet, heads: ScaleHeads, maps: Sequence[Tensor]) -> Outputs:
    """Outputs of the network's own decoder. Every head takes a map after a dropout that the next block does not see."""
    *coarse, finest = network.decode(maps)
    deeper = [network.dropout(each) for each in (*reversed(coarse), maps[-1])]
    sides = [head(each) for head, each in zip(heads.sides, deeper, strict=True)]
    return Outputs((network.head(finest), *sides), heads.projection(finest))


class ContourDecoder(nn.Module):
    """A decoder whose blocks see v + A v: v the sum of skip and upsampled map, A the contour of the scale before."""

    def __init__(self, network: VNet, classes: int, dimension: int) -> None:
        super().__init__()
        self.decoder = network.new_decoder("transposed")
        self.head = nn.Conv3d(network.widths[0], classes, 1)
        self.heads = ScaleHeads(network.widths, classes, dimension)

    def forward(self, maps: Sequence[Tensor]) -> Outputs:
        """Outputs from encoder maps, from full size to 1/16; dropout comes before the finest head alone."""
        assert isinstance(self.decoder, Decoder)
        *skips, feature = maps
        *finer, deepest = self.heads.sides
        logits = [deepest(feature)]
        levels = zip(self.decoder.up, self.decoder.blocks, reversed(skips), (*reversed(finer), None), strict=True)
        for up, block, skip, head in levels:
            total = up(feature) + skip
            feature = block(total + contour(logits[-1]) * total)
            if head is None:
                feature = self.decoder.dropout(feature)
            logits.append((head or self.head)(feature))
        return Outputs(tuple(reversed(logits)), self.heads.projection(feature))


def contour(logits: Tensor) -> Tensor:
    """Attention ``[b 1 2z 2y 2x]`` to the contours of logits ``[b k z y x]``: sum over classes of max(d - e, 0).

    e is the smallest probability among a voxel and its 26 neighbours, and d the largest e among these. The sum is
    enlarged to twice its sides.
    """
    eroded = -F.max_pool3d(-logits.float().softmax(1), 3, stride=1, padding=1)
    dilated = F.max_pool3d(eroded, 3, stride=1, padding=1)
    residue = (dilated - eroded).relu().sum(1, keepdim=True)
    return F.interpolate(residue, scale_factor=2, mode="trilinear", align_corners=True)
