"""The networks of GenericSSL: one encoder for images and for noisy label maps, and decoders of the same shape.

Source: xmed-lab/GenericSSL: code/DiffVNet/diff_vnet.py. Skips are added.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.methods.parts.generic_ssl_layers import SINUSOID, TIME, Change, Stage, change_names, sinusoid, unit_names
from semiseg.network import Backbone

ENCODER_UNITS = (2, 3, 3, 3)  # per level below full size; the level of full size is in the embedding
DECODER_UNITS = (3, 3, 2, 1)  # per level, deepest first
MAP_DROPOUT = 0.5  # after the deepest map and before the head
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")  # official levels, encoder to head


class Embedding(nn.Module):
    """The first map of an input, and the vector of a time; that of images never needs a time, but has the layers."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stage = Stage(1, channels, width, timed=True)
        self.dense = nn.ModuleList([nn.Linear(SINUSOID, TIME), nn.Linear(TIME, TIME)])

    def forward(self, image: Tensor) -> Tensor:
        """Map ``[b f z y x]`` of an input ``[b c z y x]``."""
        return self.stage(image, None)  # type: ignore[no-any-return]

    def vector(self, times: Tensor) -> Tensor:
        """Vector ``[b 512]`` of times ``[b]``: linear, swish, linear of the sinusoid."""
        first, second = self.dense
        return second(F.silu(first(sinusoid(times))))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Four levels of widths 2f, 4f, 8f, 16f below an embedding's map; dropout on the deepest."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        levels = list(zip(widths, widths[1:], ENCODER_UNITS, strict=False))
        self.down = nn.ModuleList(
            Change(nn.Conv3d(before, width, 2, stride=2), width, timed=True) for before, width, _ in levels
        )
        self.stages = nn.ModuleList(Stage(count, width, width, timed=True) for _, width, count in levels)
        self.dropout = nn.Dropout3d(MAP_DROPOUT)

    def forward(self, feature: Tensor, time: Tensor | None = None) -> list[Tensor]:
        """Five maps from full size to 1/16, of an embedding's map and a time vector."""
        maps = [feature]
        for down, stage in zip(self.down, self.stages, strict=True):
            maps.append(stage(down(maps[-1], time), time))
        return [*maps[:-1], self.dropout(maps[-1])]


class Decoder(nn.Module):
    """Four levels of widths 8f, 4f, 2f, f; dropout on the last map. timed: with layers that fuse a time."""

    def __init__(self, widths: Sequence[int], timed: bool = False) -> None:
        super().__init__()
        levels = list(zip(widths[:0:-1], widths[-2::-1], DECODER_UNITS, strict=True))
        self.up = nn.ModuleList(
            Change(nn.ConvTranspose3d(before, width, 2, stride=2), width, timed) for before, width, _ in levels
        )
        self.stages = nn.ModuleList(Stage(count, width, width, timed) for _, width, count in levels)
        self.dropout = nn.Dropout3d(MAP_DROPOUT)

    def forward(self, maps: Sequence[Tensor], time: Tensor | None = None) -> tuple[Tensor, ...]:
        """Maps at 1/8, 1/4, 1/2 and full size, of the encoder's five maps."""
        *skips, deepest = maps
        found = [deepest]
        for up, stage, skip in zip(self.up, self.stages, reversed(skips), strict=True):
            found.append(stage(up(found[-1], time) + skip, time))
        return (*found[1:-1], self.dropout(found[-1]))


class SharedVNet(Backbone):
    """The network that predicts: embedding of images, the encoder that all decoders share, and the decoder theta."""

    batch_norm = True

    def __init__(self, channels: int, classes: int, filters: int = 32) -> None:
        super().__init__()
        self.widths = tuple(filters * 2**level for level in range(5))
        self.embedding, self.encoder = Embedding(channels, filters), Encoder(self.widths)
        self.decoder, self.head = Decoder(self.widths), nn.Conv3d(filters, classes, 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps from full size to 1/16; the deepest one after dropout."""
        self.check_sides(image)
        return self.encoder(self.embedding(image))  # type: ignore[no-any-return]

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of widths 8f, 4f, 2f, f at 1/8, 1/4, 1/2 and full size, the last one after dropout."""
        return self.decoder(maps)  # type: ignore[no-any-return]

    def official_modules(self) -> dict[str, str]:
        """The names of the source, where the encoder is a part of the denoising model."""
        encoder = {f"encoder.{ours}": f"denoise_model.encoder.{name}" for ours, name in _encoder_names().items()}
        return {**_embedding_names("embedding"), **encoder, **_decoder_names("decoder_theta")}


class Branch(nn.Module):
    """A further decoder and head on the encoder of a ``SharedVNet`` with these widths."""

    def __init__(self, widths: Sequence[int], classes: int, timed: bool = False) -> None:
        super().__init__()
        self.decoder, self.head = Decoder(widths, timed), nn.Conv3d(widths[0], classes, 1)

    def forward(self, maps: Sequence[Tensor], time: Tensor | None = None) -> Tensor:
        """Logits ``[b k z y x]`` of the encoder's maps."""
        return self.head(self.decoder(maps, time)[-1])  # type: ignore[no-any-return]

    def official_modules(self) -> dict[str, str]:
        """The names of the source for psi."""
        return _decoder_names("decoder_psi")


class Denoiser(Branch):
    """Embedding of an image with a noisy label map, and the decoder xi; both take the time."""

    def __init__(self, widths: Sequence[int], classes: int, channels: int = 1) -> None:
        super().__init__(widths, classes, timed=True)
        self.embedding = Embedding(channels + classes, widths[0])

    def denoise(self, encoder: nn.Module, noisy: Tensor, times: Tensor, image: Tensor) -> Tensor:
        """Clean label map ``[b k z y x]`` of a noisy one at times ``[b]``, given its image ``[b c z y x]``."""
        time = self.embedding.vector(times)
        return self(encoder(self.embedding(torch.cat([image, noisy], 1)), time), time)  # type: ignore[no-any-return]

    def official_modules(self) -> dict[str, str]:
        """The names of the source for the diffusion's embedding and xi."""
        return {**_embedding_names("denoise_model.embedding_diffusion"), **_decoder_names("denoise_model.decoder")}


@torch.no_grad()
def average(network: SharedVNet, branches: Sequence[Branch], decay: float) -> None:
    """Decoder and head of the network <- decay x their own weights + (1 - decay) x the mean of those of the branches.

    Only parameters are averaged, each with those of its name; running statistics stay.
    """
    others = [dict(branch.named_parameters()) for branch in branches]
    for part in ("decoder", "head"):
        for name, weight in network.get_submodule(part).named_parameters(prefix=part):
            mean = torch.stack([found[name] for found in others]).mean(0)
            weight.mul_(decay).add_(mean, alpha=1 - decay)


def _embedding_names(official: str) -> dict[str, str]:
    layers = {f"embedding.dense.{layer}": f"{official}.temb.dense.{layer}" for layer in (0, 1)}
    return layers | unit_names("embedding.stage", f"{official}.emb", 1)


def _encoder_names() -> dict[str, str]:
    found: dict[str, str] = {}
    for level, count in enumerate(ENCODER_UNITS):
        found |= change_names(f"down.{level}", f"block_{NUMBERS[level]}_dw")
        found |= unit_names(f"stages.{level}", f"block_{NUMBERS[level + 1]}", count)
    return found


def _decoder_names(official: str) -> dict[str, str]:
    found = {"head": f"{official}.out_conv"}
    for level, count in enumerate(DECODER_UNITS):
        found |= change_names(f"decoder.up.{level}", f"{official}.block_{NUMBERS[level + 4]}_up")
        found |= unit_names(f"decoder.stages.{level}", f"{official}.block_{NUMBERS[level + 5]}", count)
    return found
