"""Prompt encoder and mask decoder of Segment Anything (facebookresearch/segment-anything), without points and boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POINTS = 4  # kinds of points: background, foreground, two corners of a box


@dataclass(frozen=True)
class DecoderSizes:
    """Sizes of prompt encoder and mask decoder; the defaults are those of all published SAMs.

    embedding: channels of image embeddings, prompts and tokens; depth, heads, mlp: layers, heads of their attention
    and width inside of them; iou_hidden: width of the head for the quality of masks; mask_channels: of a mask prompt on
    its way to a dense prompt.
    """

    embedding: int = 256
    depth: int = 2
    heads: int = 8
    mlp: int = 2048
    iou_hidden: int = 256
    mask_channels: int = 16


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of each pixel of ``[b c h w]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, image: Tensor) -> Tensor:
        """The normed image."""
        return F.layer_norm(image.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6).permute(
            0, 3, 1, 2
        )


class PromptEncoder(nn.Module):
    """The parameters of SAM's prompt encoder, of which methods without points, boxes and masks use two alone.

    These are ``no_mask_embed`` and the frequencies of places.
    """

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        embedding, mask_channels = sizes.embedding, sizes.mask_channels
        quarter = mask_channels // 4
        self.pe_layer = Frequencies(embedding // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embedding) for _ in range(POINTS))
        self.not_a_point_embed = nn.Embedding(1, embedding)
        self.mask_downscaling = nn.Sequential(
            *(nn.Conv2d(1, quarter, 2, stride=2), LayerNorm2d(quarter), nn.GELU()),
            *(nn.Conv2d(quarter, mask_channels, 2, stride=2), LayerNorm2d(mask_channels), nn.GELU()),
            nn.Conv2d(mask_channels, embedding, 1),
        )
        self.no_mask_embed = nn.Embedding(1, embedding)

    def no_mask(self) -> Tensor:
        """The dense prompt that stands for no mask, ``[1 c 1 1]``."""
        return self.no_mask_embed.weight.view(1, -1, 1, 1)

    def places(self, side: int) -> Tensor:
        """Sines and cosines of the places of a square map, ``[1 c side side]``."""
        found: Tensor = self.pe_layer(side)
        return found


class Frequencies(nn.Module):
    """Random Fourier features of places (Tancik et al. 2020); the frequencies are a buffer that is never trained."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, count))
        self.positional_encoding_gaussian_matrix: Tensor

    def forward(self, side: int) -> Tensor:
        """Features ``[1 2n side side]`` of the centres of pixels, whose x and y run from -1 to 1."""
        matrix = self.positional_encoding_gaussian_matrix
        centres = 2 * (torch.arange(side, device=matrix.device, dtype=matrix.dtype) + 0.5) / side - 1
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        angles = 2 * pi * (torch.stack([x, y], -1) @ matrix)
        return torch.cat([angles.sin(), angles.cos()], -1).permute(2, 0, 1).unsqueeze(0)


class MaskDecoder(nn.Module):
    """A token per mask attends to the image; the mask is the product of what it becomes with the upscaled image.

    masks: their number. levels: transposed convolutions, each of which doubles the sides and divides the channels by 2,
    the first one by 4; Meta's decoder has two. The head for the quality of masks is kept for its weights alone.
    """

    def __init__(self, sizes: DecoderSizes, masks: int, levels: int = 2) -> None:
        super().__init__()
        width = sizes.embedding
        self.transformer = TwoWayTransformer(width, sizes.depth, sizes.heads, sizes.mlp)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(masks, width)
        widths = [width, *(width // 2 ** (level + 2) for level in range(levels))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            norm = [] if after == widths[-1] else [LayerNorm2d(after)]
            layers += [nn.ConvTranspose2d(before, after, 2, stride=2), *norm, nn.GELU()]
        self.output_upscaling = nn.Sequential(*layers)
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp([width, width, width, widths[-1]]) for _ in range(masks))
        self.iou_prediction_head = Mlp([width, sizes.iou_hidden, sizes.iou_hidden, masks])

    def forward(self, embedding: Tensor, places: Tensor, dense: Tensor) -> Tensor:
        """Logits ``[b m h w]`` of all masks. places: as ``PromptEncoder.places`` gives them."""
        image = embedding + dense
        tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(len(image), -1, -1)
        tokens, pixels = self.transformer(image.flatten(2).mT, places.flatten(2).mT, tokens)
        upscaled = self.output_upscaling(pixels.mT.unflatten(2, image.shape[2:]))
        of_masks = zip(self.output_hypernetworks_mlps, tokens[:, 1:].unbind(1), strict=True)
        weights = torch.stack([mlp(token) for mlp, token in of_masks], 1)
        return torch.einsum("bmc,bchw->bmhw", weights, upscaled)


class Mlp(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, values: Tensor) -> Tensor:
        """What the last layer gives."""
        *inner, last = self.layers
        for layer in inner:
            values = layer(values).relu()
        found: Tensor = last(values)
        return found


class TwoWayTransformer(nn.Module):
    """Layers in which tokens ``[b n c]`` attend to pixels ``[b hw c]`` and pixels to tokens."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(width, heads, hidden) for _ in range(depth))
        self.final_attn_token_to_image = CrossAttention(width, heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, pixels: Tensor, places: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and pixels after all layers. The tokens at the start serve as the places of tokens."""
        names = tokens
        for number, layer in enumerate(self.layers):
            tokens, pixels = layer(tokens, pixels, names, places, is_first=number == 0)
        found = self.final_attn_token_to_image(tokens + names, pixels + places, pixels)
        return self.norm_final_attn(tokens + found), pixels


class TwoWayLayer(nn.Module):
    """Tokens among themselves, tokens to pixels, layers of each token, pixels to tokens; a norm after each."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = CrossAttention(width, heads, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = CrossAttention(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"lin1": nn.Linear(width, hidden), "lin2": nn.Linear(hidden, width)})
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = CrossAttention(width, heads, width // 2)

    def forward(
        self, tokens: Tensor, pixels: Tensor, names: Tensor, places: Tensor, *, is_first: bool
    ) -> tuple[Tensor, Tensor]:
        """Tokens and pixels after the layer. In the first one attention takes the place of the tokens themselves."""
        if is_first:
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            named = tokens + names
            tokens = self.norm1(tokens + self.self_attn(named, named, tokens))
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + names, pixels + places, pixels))
        tokens = self.norm3(tokens + self.mlp["lin2"](self.mlp["lin1"](tokens).relu()))
        return tokens, self.norm4(pixels + self.cross_attn_image_to_token(pixels + places, tokens + names, tokens))


class CrossAttention(nn.Module):
    """Attention of queries ``[b n c]`` to keys and values ``[b m c]``. inner: channels of all heads together."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What the queries attended to, ``[b n c]``."""
        projected = (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        heads = (each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in projected)
        found: Tensor = self.out_proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return found
