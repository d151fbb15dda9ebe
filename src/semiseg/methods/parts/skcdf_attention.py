"""Attention of skcdf: labelled and unlabelled crops exchange what their bottlenecks hold, channel by channel.

Follows yinguanchun/SKCDF: SKCDF/code/models/SKCDF.py. The channels are the sequence: an entry of the attention matrix
compares two channels over the positions of a patch. A local block has patches of 2x2x2 positions, a global one has a
single patch.
Ours: the bottleneck may have any even sides (4x8x8 there) and a batch any number of crops (2 + 2 there). The second
convolution of the token embedding, which that code never uses, is left out. The norm of an attention matrix divides the
queries by the deviation of the matrix, which a closed form gives, and subtracts no mean, because a softmax does not
depend on it. So torch's attention serves, whose fused kernels on a GPU keep no matrix of channels by channels.
"""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.base.texts import times

Sides = tuple[int, int, int]
LOCAL: Sides = (2, 2, 2)  # positions of a local patch
TOKEN_EPSILON = 1e-6  # of the norms of tokens
MATRIX_EPSILON = 1e-5  # of the norm of an attention matrix


class SemanticComplementarity(nn.Module):
    """The local block, then the global one; the output replaces the bottleneck.

    channels: of the bottleneck; sides: of the bottleneck in positions; heads, dropout: of both. Raises UserError for a
    side that is odd, and for less than one head.
    """

    def __init__(self, channels: int, sides: Sides, heads: int, dropout: float) -> None:
        super().__init__()
        if any(side % of_patch for side, of_patch in zip(sides, LOCAL, strict=True)):
            raise UserError(
                f"the local attention of SKCDF halves each side of the deepest map, which has {times(sides)} positions"
                " here: give training.patch sides for which they are even"
            )
        if heads < 1:
            raise UserError(f"SKCDF.heads must be 1 or more; found {heads}")
        self.sides = sides
        self.local = AttentionBlock(channels, LOCAL, heads, dropout, local=True)
        self.whole = AttentionBlock(channels, sides, heads, dropout, local=False)

    def forward(self, bottleneck: Tensor, labelled: int | None = None) -> Tensor:
        """Mix a bottleneck ``[b c d h w]``; labelled as in ``ChannelAttention.forward``.

        Raises UserError for other sides than those that it was built for.
        """
        if bottleneck.shape[2:] != self.sides:
            raise UserError(
                f"the global attention of SKCDF has one weight per position of a deepest map of {times(self.sides)};"
                f" found {times(bottleneck.shape[2:])}: make inference.window equal to training.patch"
            )
        mixed: Tensor = self.whole(self.local(bottleneck, labelled), labelled)
        return mixed


class AttentionBlock(nn.Module):
    """Tokens by one convolution for all channels, norm, attention, sum with the tokens, norm, convolution 1x1x1, GELU.

    patch: sides of a patch in positions, which divide those of the bottleneck. A patch becomes as many tokens ``[c]``
    as it has positions.
    """

    def __init__(self, channels: int, patch: Sides, heads: int, dropout: float, *, local: bool) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Conv3d(1, prod(patch), patch, stride=patch)
        self.before = nn.LayerNorm(channels, eps=TOKEN_EPSILON)
        self.attention = ChannelAttention(channels, heads, dropout, local=local)
        self.after = nn.LayerNorm(channels, eps=TOKEN_EPSILON)
        self.mix = nn.Conv3d(channels, channels, 1)

    def forward(self, bottleneck: Tensor, labelled: int | None = None) -> Tensor:
        """Map a bottleneck ``[b c d h w]`` to one of the same shape; labelled as in ``ChannelAttention.forward``."""
        rows, channels, *sides = bottleneck.shape
        embedded = self.embed(bottleneck.reshape(rows * channels, 1, *sides))
        tokens = embedded.view(rows, channels, prod(self.patch), -1).permute(0, 3, 2, 1)
        tokens = tokens + self.attention(self.before(tokens), labelled)
        return F.gelu(self.mix(to_volume(self.after(tokens), embedded.shape[2:], self.patch)))

    def official_modules(self) -> dict[str, str]:
        """The names of the source."""
        layers = {f"attention.{name}": f"attn.{name}" for name in ("q", "k", "v", "out")}
        norms = {"before": "attn_norm", "after": "ffn_norm"}
        return {"embed": "token_learner.proj", "mix": "map_out.0", **layers, **norms}


class ChannelAttention(nn.Module):
    """Attention between channels: softmax of the normalised product of two channels over the positions of a patch.

    local: True for the form of the local block. It matters where a crop attends to itself. Then the local form takes a
    projection apart as (channel, head), the other one as (head, channel), and only the other one has dropout on its
    output; both join the heads as (channel, head). Where crops attend to others, all heads form one matrix, in the
    order of the projection.
    """

    def __init__(self, channels: int, heads: int, dropout: float, *, local: bool) -> None:
        super().__init__()
        self.heads, self.local = heads, local
        self.q, self.k, self.v = (nn.Linear(channels, channels * heads, bias=False) for _ in range(3))
        self.out = nn.Linear(channels * heads, channels, bias=False)
        for layer in (self.q, self.k, self.v, self.out):
            nn.init.xavier_uniform_(layer.weight)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, labelled: int | None = None) -> Tensor:
        """Attended tokens ``[b p n c]`` of tokens ``[b p n c]``: p patches of n tokens.

        labelled: None where each crop attends to itself. Otherwise the first ``labelled`` crops attend to all others,
        and the others to them. Then the tokens of the others are constants, so no gradient reaches them.
        """
        if labelled is None:
            return self._to_itself(tokens)
        tokens = torch.cat([tokens[:labelled], tokens[labelled:].detach()])
        queries, keys, values = (layer(tokens).transpose(2, 3) for layer in (self.q, self.k, self.v))
        first, others = slice(None, labelled), slice(labelled, None)
        attended = [
            self._attend(queries[own], _joined(keys[other]), _joined(values[other]))
            for own, other in ((first, others), (others, first))
        ]
        output: Tensor = self.dropout(self.out(torch.cat(attended).transpose(2, 3)))
        return output

    def _to_itself(self, tokens: Tensor) -> Tensor:
        rows, patches, number, channels = tokens.shape
        apart = (channels, self.heads) if self.local else (self.heads, channels)

        def of_heads(layer: nn.Module) -> Tensor:
            features: Tensor = layer(tokens).view(rows, patches, number, *apart)
            return features.permute((0, 1, 4, 3, 2) if self.local else (0, 1, 3, 4, 2))

        queries, keys, values = (of_heads(layer).flatten(1, 2) for layer in (self.q, self.k, self.v))
        attended = self._attend(queries, keys, values).view(rows, patches, self.heads, channels, number)
        output: Tensor = self.out(attended.permute(0, 1, 4, 3, 2).flatten(3))
        return output if self.local else self.dropout(output)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attended channels ``[b m f n]`` of queries ``[b m f n]`` and keys and values ``[b or 1 m g n]``, in float32.

        Half precision would lose the small deviations of a matrix.
        """
        with torch.autocast(queries.device.type, enabled=False):
            queries, keys, values = queries.float(), keys.float(), values.float()
            queries = queries / (product_variance(queries, keys) + MATRIX_EPSILON).sqrt()
            keys, values = (each.expand(len(queries), -1, -1, -1) for each in (keys, values))
            dropped = self.dropout.p if self.training else 0.0
            mixed: Tensor = F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropped, scale=1.0)
            return mixed


def product_variance(queries: Tensor, keys: Tensor) -> Tensor:
    """Variance of all entries of Q K^T, ``[... 1 1]``, for Q ``[... f n]`` and K ``[... g n]``, without that matrix.

    With means q and k of the rows and covariances A and B of the columns it is tr(A B) + q B q + k A k, a sum of three
    parts that are never negative.
    """
    (q, a), (k, b) = _moments(queries), _moments(keys)
    return (a * (b + k.mT @ k) + b * (q.mT @ q)).sum((-2, -1), keepdim=True)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``[... 1 n]`` and covariance ``[... n n]`` of rows ``[... f n]``."""
    mean = rows.mean(-2, keepdim=True)
    centred = rows - mean
    return mean, centred.mT @ centred / rows.shape[-2]


def _joined(channels: Tensor) -> Tensor:
    """Channels of all crops beside each other, ``[1 p b*f n]`` of ``[b p f n]``."""
    return channels.transpose(0, 1).flatten(1, 2).unsqueeze(0)


def to_volume(tokens: Tensor, patches: Sequence[int], patch: Sequence[int]) -> Tensor:
    """Volume ``[b c d h w]`` of tokens ``[b p n c]``: p patches in a grid ``patches``, n positions in a ``patch``."""
    split = tokens.view(len(tokens), *patches, *patch, tokens.shape[-1])
    sides = [count * side for count, side in zip(patches, patch, strict=True)]
    return split.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(len(tokens), tokens.shape[-1], *sides)
