"""Network of MA-SAM: a SAM whose image encoder sees neighbouring slices, and a mask decoder with a token per class.

Source: cchen-cc/MA-SAM: MA-SAM/sam_fact_tt_image_encoder.py, segment_anything/modeling.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.networks.heads.sam_decoder import MaskDecoder
from semiseg.networks.sam import EPS, Sam

OWN = (  # parts of the decoder that a file of SAM does not fit
    *("mask_decoder.mask_tokens", "mask_decoder.output_hypernetworks_mlps", "mask_decoder.iou_prediction_head"),
    *(f"mask_decoder.output_upscaling.{layer}" for layer in (4, 6, 7, 9)),
)
LEVELS = 4  # transposed convolutions of the decoder: logits have the size of the image


class FactoredProjection(nn.Module):
    """Projection to query, key and value; q += s V(drop(F_q(U x))), v likewise (FacT, Jie and Deng 2023).

    frozen: the projection of SAM; outer: U and V, of all blocks together, which the network owns. F_q and F_v are the
    block's own.
    """

    def __init__(self, frozen: nn.Module, outer: tuple[nn.Linear, nn.Linear], scale: float, dropout: float) -> None:
        super().__init__()
        self.frozen, self.outer, self.scale = frozen, outer, scale  # a tuple's modules are not registered here again
        rank = outer[0].out_features
        self.query, self.value = (nn.Linear(rank, rank, bias=False) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Query, key and value one after the other, ``[... 3c]``."""
        down, up = self.outer
        low = down(tokens)
        query, value = (self.scale * up(self.dropout(factor(low))) for factor in (self.query, self.value))
        projected: Tensor = self.frozen(tokens)
        return projected + torch.cat([query, torch.zeros_like(query), value], -1)


class Adapter(nn.Module):
    """x + up(GELU(conv(down(norm(x))))), on tokens ``[b*n h w c]``, with a convolution across the n slices alone."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.down = nn.Linear(width, channels, bias=False)
        self.conv = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        self.up = nn.Linear(channels, width, bias=False)

    def forward(self, tokens: Tensor, slices: int) -> Tensor:
        """Tokens of the same shape."""
        low = self.down(self.norm(tokens)).unflatten(0, (-1, slices)).permute(0, 4, 1, 2, 3)
        mixed: Tensor = self.up(F.gelu(self.conv(low)).permute(0, 2, 3, 4, 1).flatten(0, 1))
        return tokens + mixed


class AdaptedSam(nn.Module):
    """Stacks ``[b n h w]`` of slices to logits ``[b k n h w]``. Adapters begin at random, so at first it is no SAM.

    rank: of the factors; channels: of the adapters. Trained are factors, adapters, prompt encoder and mask decoder.
    """

    def __init__(self, sam: Sam, classes: int, rank: int, channels: int, scale: float, dropout: float) -> None:
        super().__init__()
        sam.image_encoder.requires_grad_(False)
        sam.mask_decoder = MaskDecoder(sam.sizes.decoder, classes, LEVELS)
        width = sam.sizes.width
        self.sam, self.down, self.up = sam, nn.Linear(width, rank, bias=False), nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.up.weight)
        for attention in (block.attn for block in sam.image_encoder.each_block()):
            attention.qkv = FactoredProjection(attention.qkv, (self.down, self.up), scale, dropout)
        count = 2 * len(sam.image_encoder.blocks)
        self.adapters = nn.ModuleList(Adapter(width, channels) for _ in range(count))

    def official_modules(self) -> dict[str, str]:
        """Parts that Meta's file of SAM has in the same form: all but factors, adapters and what belongs to classes."""
        names = (name for name, _ in self.sam.named_modules() if not name.startswith(OWN))
        same = (name for name in names if ".qkv" not in name or name.endswith(".frozen"))
        return {f"sam.{name}": name.removesuffix(".frozen") for name in same}

    def forward(self, stacks: Tensor) -> Tensor:
        """Logits of every slice at its full size, which is the side of SAM's image."""
        slices, encoder = stacks.shape[1], self.sam.image_encoder
        tokens = encoder.tokens(stacks.flatten(0, 1).unsqueeze(1).expand(-1, 3, -1, -1))
        for block, first, second in zip(encoder.each_block(), self.adapters[::2], self.adapters[1::2], strict=True):
            tokens = block.attended(first(tokens, slices))
            tokens = block.mixed(second(tokens, slices))
        logits = self.sam.masks(encoder.embedding(tokens), self.sam.prompt_encoder.no_mask())
        return logits.view(len(stacks), slices, *logits.shape[1:]).transpose(1, 2)
