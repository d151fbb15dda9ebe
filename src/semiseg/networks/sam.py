"""Segment Anything (Kirillov et al., ICCV 2023): a vision transformer for images, a prompt encoder, a mask decoder.

A network for 2D images of three colours; ``autosam`` and ``ma_sam`` cut slices from crops and build on it. Parameters
have the names of Meta's checkpoints (facebookresearch/segment-anything), so its files load as they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.network import Backbone
from semiseg.networks.heads.sam_decoder import DecoderSizes, LayerNorm2d, MaskDecoder, PromptEncoder

EPS = 1e-6  # of the norms of the image encoder
MASKS = 4  # of Meta's decoder: one for a clear prompt, three for an ambiguous one
PLACES = "image_encoder.pos_embed"  # parameter of the places of tokens
TINY = 32  # largest width of a network of ours for rehearsals


@dataclass(frozen=True)
class Sizes:
    """All sizes of a SAM.

    width: channels of a token; depth, heads: blocks of the image encoder, and heads of their attention; whole: numbers
    of the blocks whose attention is not cut into windows; side: of the image in pixels; patch: side in pixels of the
    square that becomes a token; window: side in tokens; mlp_ratio: width inside of a block over that of a token.
    """

    width: int
    depth: int
    heads: int
    whole: tuple[int, ...]
    side: int = 1024
    patch: int = 16
    window: int = 14
    mlp_ratio: float = 4
    decoder: DecoderSizes = field(default_factory=DecoderSizes)

    @property
    def tokens(self) -> int:
        """Tokens along a side of the image."""
        return self.side // self.patch


PUBLISHED = {
    1280: Sizes(1280, depth=32, heads=16, whole=(7, 15, 23, 31)),  # ViT-H
    1024: Sizes(1024, depth=24, heads=16, whole=(5, 11, 17, 23)),  # ViT-L
    768: Sizes(768, depth=12, heads=12, whole=(2, 5, 8, 11)),  # ViT-B
}


def sizes_of(width: int) -> Sizes:
    """The published SAM of this width, or one of ours for rehearsals. Raises UserError for another width."""
    if width in PUBLISHED:
        return PUBLISHED[width]
    if width > TINY:
        raise UserError(
            f"network sam: filters must be 1280 (ViT-H), 1024 (ViT-L) or 768 (ViT-B), or up to {TINY} for a rehearsal;"
            f" found {width}"
        )
    decoder = DecoderSizes(embedding=32, depth=2, heads=2, mlp=16, iou_hidden=8, mask_channels=4)
    return Sizes(width, depth=2, heads=1, whole=(1,), side=64, window=3, decoder=decoder)


class Sam(Backbone):
    """SAM by the width of its tokens (``filters``), with random weights: 1280 (ViT-H), 1024 (ViT-L) or 768 (ViT-B).

    Widths up to 32 give a network of ours for rehearsals. The numbers of channels and classes change nothing: images
    have three colours, and what a mask means is the method's matter. It has no maps of an encoder-decoder, so it serves
    the methods alone that require it (``"sam"``). sizes: in place of those that follow from the width.
    """

    divisor = 1  # slices are resized to the image's side

    def __init__(self, channels: int, classes: int, filters: int = 1280, sizes: Sizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes or sizes_of(filters)
        self.image_encoder = ImageEncoder(self.sizes)
        self.prompt_encoder = PromptEncoder(self.sizes.decoder)
        self.mask_decoder = MaskDecoder(self.sizes.decoder, MASKS)

    @property
    def is_published(self) -> bool:
        """Whether the network has published sizes, and is none of ours for rehearsals."""
        return self.sizes.width > TINY

    def masks(self, embedding: Tensor, dense: Tensor) -> Tensor:
        """Logits of masks ``[b m h w]``, at a quarter of the image's side with Meta's decoder, without points or boxes.

        embedding: of the images, ``[b c h w]``; dense: the dense prompt, of a shape that fits to it.
        """
        places = self.prompt_encoder.places(self.sizes.tokens)
        masks: Tensor = self.mask_decoder(embedding, places, dense)
        return masks

    def resize(self, side: int) -> None:
        """Prepare the image encoder for images of another side, by resampling its positions."""
        self.sizes = self.image_encoder.resize(side)

    def require_width(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise UserError where a file's tensors by name are those of a SAM of another width."""
        for name, tensor in tensors.items():
            if name.endswith(PLACES) and (width := tensor.shape[-1]) != self.sizes.width:
                known = ", ".join(map(str, PUBLISHED))
                raise UserError(
                    f"it holds a SAM whose tokens have {width} channels, and the protocol's network has"
                    f" {self.sizes.width}: give network.filters the width of the file ({known} are ViT-H, ViT-L and"
                    " ViT-B), or bring the file of that size"
                )

    def fitted(self, tensors: Mapping[str, Tensor], before: str) -> dict[str, Tensor]:
        """Tensors by name, in which those of the image encoder's positions are resampled to the sizes here.

        before: what stands before the names of SAM's own.
        """
        own = {f"{before}{name}": tensor.shape for name, tensor in self.state_dict().items()}
        positions = {name for name in own if name.endswith(PLACES) or ".attn.rel_pos_" in name}
        return {name: resampled(each, own[name]) if name in positions else each for name, each in tensors.items()}


class ImageEncoder(nn.Module):
    """Vision transformer with attention in windows, and a neck: images ``[b 3 s s]`` to embeddings ``[b c h w]``."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes, side, embedding = sizes, sizes.tokens, sizes.decoder.embedding
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, sizes.width, sizes.patch, stride=sizes.patch)})
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, sizes.width))
        windows = (0 if number in sizes.whole else sizes.window for number in range(sizes.depth))
        self.blocks = nn.ModuleList(Block(sizes, window) for window in windows)
        self.neck = nn.Sequential(
            nn.Conv2d(sizes.width, embedding, 1, bias=False),
            LayerNorm2d(embedding),
            nn.Conv2d(embedding, embedding, 3, padding=1, bias=False),
            LayerNorm2d(embedding),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings of images."""
        tokens = self.tokens(images)
        for block in self.each_block():
            tokens = block.mixed(block.attended(tokens))
        return self.embedding(tokens)

    def each_block(self) -> Iterator["Block"]:
        """The blocks in their order."""
        return (block for block in self.blocks if isinstance(block, Block))

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens ``[b h w c]`` with their places, before the first block."""
        projected: Tensor = self.patch_embed["proj"](images)
        return projected.permute(0, 2, 3, 1) + self.pos_embed

    def embedding(self, tokens: Tensor) -> Tensor:
        """Embeddings from the tokens after the last block."""
        embedding: Tensor = self.neck(tokens.permute(0, 3, 1, 2))
        return embedding

    def resize(self, side: int) -> Sizes:
        """Resample all positions for images of another side in pixels. Returns the sizes after it."""
        self.sizes = replace(self.sizes, side=side)
        tokens = self.sizes.tokens
        self.pos_embed = nn.Parameter(resampled(self.pos_embed.data, (1, tokens, tokens, self.sizes.width)))
        for block in self.each_block():
            if not block.window:
                block.attn.resize(tokens)
        return self.sizes


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), on tokens ``[b h w c]``. window: side in tokens; 0: no windows."""

    def __init__(self, sizes: Sizes, window: int) -> None:
        super().__init__()
        self.window, width = window, sizes.width
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, sizes.heads, window or sizes.tokens)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        hidden = int(width * sizes.mlp_ratio)
        self.mlp = nn.ModuleDict({"lin1": nn.Linear(width, hidden), "lin2": nn.Linear(hidden, width)})

    def attended(self, tokens: Tensor) -> Tensor:
        """Tokens plus what attention gives, in windows padded with zeros at the right and at the bottom."""
        normed: Tensor = self.norm1(tokens)
        if not self.window:
            attended: Tensor = self.attn(normed)
            return tokens + attended
        (batch, h, w, width), side = tokens.shape, self.window
        rows, columns = -(-h // side), -(-w // side)
        normed = F.pad(normed, (0, 0, 0, columns * side - w, 0, rows * side - h))
        windows = normed.view(batch, rows, side, columns, side, width).transpose(2, 3).flatten(0, 2)
        attended = self.attn(windows).view(batch, rows, columns, side, side, width)
        return tokens + attended.transpose(2, 3).reshape(batch, rows * side, columns * side, width)[:, :h, :w]

    def mixed(self, tokens: Tensor) -> Tensor:
        """Tokens plus what the layers of each token give."""
        mixed: Tensor = self.mlp["lin2"](F.gelu(self.mlp["lin1"](self.norm2(tokens))))
        return tokens + mixed


class Attention(nn.Module):
    """Attention between all tokens ``[b s s c]``, with learned numbers for the distance in rows and in columns.

    The logit of query i and key j is q.k / sqrt(d) + q.R_h[row i - row j] + q.R_w[column i - column j].
    """

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv: nn.Module = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens that attended to all of the same item."""
        batch, h, w, _ = tokens.shape
        packed = self.qkv(tokens).view(batch, h * w, 3, self.heads, -1)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        grid = query.unflatten(2, (h, w))
        rows = torch.einsum("bnhwd,hkd->bnhwk", grid, by_distance(self.rel_pos_h, h))
        columns = torch.einsum("bnhwd,wkd->bnhwk", grid, by_distance(self.rel_pos_w, w))
        bias = (rows.unsqueeze(-1) + columns.unsqueeze(-2)).reshape(batch, self.heads, h * w, h * w)
        found = F.scaled_dot_product_attention(query, key, value, bias)
        mixed: Tensor = self.proj(found.transpose(1, 2).reshape(batch, h, w, -1))
        return mixed

    def resize(self, side: int) -> None:
        """Resample the vectors by distance for tokens on a square of another side."""
        shape = 2 * side - 1, self.rel_pos_h.shape[1]
        self.rel_pos_h, self.rel_pos_w = (
            nn.Parameter(resampled(each.data, shape)) for each in (self.rel_pos_h, self.rel_pos_w)
        )


def by_distance(vectors: Tensor, side: int) -> Tensor:
    """Vector of the distance i - j for each pair of places, ``[side side d]``; row side - 1 is that of distance 0."""
    places = torch.arange(side, device=vectors.device)
    return vectors[places[:, None] - places + side - 1]


def resampled(positions: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Positions in this shape: maps ``[1 h w c]`` or vectors by distance ``[n d]``, bilinearly (align_corners False).

    Those with other channels stay as they are.
    """
    if positions.shape == shape or positions.shape[-1] != shape[-1]:
        return positions
    if positions.ndim == 4:
        image = positions.permute(0, 3, 1, 2)
        return F.interpolate(image, tuple(shape[1:3]), mode="bilinear").permute(0, 2, 3, 1).contiguous()
    return F.interpolate(positions[None, None], tuple(shape), mode="bilinear")[0, 0]
