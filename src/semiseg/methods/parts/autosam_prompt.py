"""Network of AutoSAM: a frozen SAM, and a prompt network of a HarDNet (Chao et al., ICCV 2019) and three blocks.

Source: talshaharabany/AutoSAM: models/hardnet.py, models/base.py. Modules have its names, which the ImageNet weights
(hardnet85-a28faa00.pth) share.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.networks.sam import Sam

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of red, green, blue from 0 to 255, SAM's own
DROPOUT = 0.1  # probability per value, before the last unit, whose map nothing reads


@dataclass(frozen=True)
class HarDNetSizes:
    """Sizes of a HarDNet; the defaults are HarDNet-85.

    stem: channels of the two first units; channels, growth, layers: of each block, as ``HarDBlock`` takes them; halved:
    whether the map is halved after the block.
    """

    stem: tuple[int, int] = (48, 96)
    channels: tuple[int, ...] = (192, 256, 320, 480, 720, 1280)
    growth: tuple[int, ...] = (24, 24, 28, 36, 48, 256)
    layers: tuple[int, ...] = (8, 16, 16, 16, 16, 4)
    halved: tuple[bool, ...] = (True, False, True, False, True, False)
    factor: float = 1.7


TINY = HarDNetSizes((4, 4), (4, 4, 6, 6, 8, 8), (2, 2, 2, 2, 2, 4), (4, 4, 2, 2, 2, 2))  # ours, for rehearsals


def normalised(images: Tensor) -> Tensor:
    """Images ``[b 3 h w]`` less SAM's mean colour, over its deviation."""
    colours = zip(images.unbind(1), MEAN, DEVIATION, strict=True)  # numbers, since a new tensor would wait for the GPU
    return torch.stack([(colour - mean) / deviation for colour, mean, deviation in colours], 1)


class PromptedSam(nn.Module):
    """SAM, which is not trained, with the dense prompt of a network that reads the same image.

    Its image encoder sees the image normalised a second time, as in the official code, where loader and SAM both do it.
    prompt_side: of the prompt network's image, in pixels.
    """

    def __init__(self, sam: Sam, prompt: "PromptNetwork", prompt_side: int) -> None:
        super().__init__()
        self.sam, self.prompt, self.prompt_side = sam.requires_grad_(False), prompt, prompt_side

    @classmethod
    def of(cls, sam: Sam, prompt_side: int) -> "PromptedSam":
        """The network with a HarDNet-85, or with a small one of ours for a SAM of ours."""
        sizes = HarDNetSizes() if sam.is_published else TINY
        return cls(sam, PromptNetwork(sizes, sam.sizes.decoder.embedding, sam.sizes.tokens), prompt_side)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[b 1 h w]`` of the first mask, for images ``[b 3 s s]`` that are normalised once."""
        sides = self.prompt_side, self.prompt_side
        prompt = self.prompt(F.interpolate(images, sides, mode="bilinear", align_corners=True))
        with torch.no_grad():
            embedding = self.sam.image_encoder(normalised(images))
        return self.sam.masks(embedding, prompt)[:, :1]

    def official_modules(self) -> dict[str, str]:
        """SAM as in Meta's file, after ``sam.``; the HarDNet as in that of ImageNet, after ``prompt.``."""
        sam = {f"sam.{name}": f"sam.{name}" for name, _ in self.sam.named_modules()}
        base = {f"prompt.backbone.{name}": f"prompt.{name}" for name, _ in self.prompt.backbone.named_modules()}
        return sam | base


class PromptNetwork(nn.Module):
    """Images ``[b 3 s s]`` to dense prompts ``[b c side side]`` from -1 to 1, which take the place of SAM's."""

    def __init__(self, sizes: HarDNetSizes, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.backbone = HarDNet(sizes)
        self.decoder = Decoder(self.backbone.widths, channels)

    def forward(self, images: Tensor) -> Tensor:
        """The dense prompts."""
        prompt = self.decoder(self.backbone(images)).tanh()
        return F.interpolate(prompt, (self.side, self.side), mode="bilinear", align_corners=True)


class HarDNet(nn.Module):
    """Harmonic DenseNet without classifier. widths: channels of the maps before each halving and of the last one."""

    def __init__(self, sizes: HarDNetSizes) -> None:
        super().__init__()
        first, before = sizes.stem
        self.base = nn.ModuleList([Unit(3, first, 3, 2), Unit(first, before, 3), nn.MaxPool2d(3, 2, 1)])
        self.widths: tuple[int, ...] = ()
        last = len(sizes.layers) - 1
        blocks = zip(sizes.channels, sizes.growth, sizes.layers, sizes.halved, strict=True)
        for number, (after, growth, layers, halved) in enumerate(blocks):
            block = HarDBlock(before, growth, layers, sizes.factor)
            dropout = [nn.Dropout(DROPOUT)] if number == last else []
            self.base.extend([block, *dropout, Unit(block.channels, after, 1)])
            if halved:
                self.base.append(nn.MaxPool2d(2))
            if halved or number == last:
                self.widths += (after,)
            before = after

    def forward(self, images: Tensor) -> list[Tensor]:
        """The map before each halving after the stem, finest first, and the last map."""
        maps, image, stem = [], images, 3
        for number, layer in enumerate(self.base):
            if number >= stem and isinstance(layer, nn.MaxPool2d):
                maps.append(image)
            image = layer(image)
        return [*maps, image]


class HarDBlock(nn.Module):
    """Layers of which number l reads the outputs l - 2^i for all 2^i that divide l; output 0 is the block's input.

    Its channels are growth x factor^n, n the number of such i above 0, rounded to an even number. channels: of what the
    block gives, the outputs of its odd layers and of the last one.
    """

    def __init__(self, before: int, growth: int, layers: int, factor: float) -> None:
        super().__init__()
        widths, units, self.links = [before], [], []
        for number in range(1, layers + 1):
            powers = [power for power in range(number.bit_length()) if number % 2**power == 0]
            self.links.append([number - 2**power for power in powers])
            widths.append(int(int(growth * factor ** (len(powers) - 1) + 1) / 2) * 2)
            units.append(Unit(sum(widths[link] for link in self.links[-1]), widths[-1], 3))
        self.layers = nn.ModuleList(units)
        self.kept = [number for number in range(1, layers + 1) if number % 2 or number == layers]
        self.channels = sum(widths[number] for number in self.kept)

    def forward(self, image: Tensor) -> Tensor:
        """Concatenated outputs of the kept layers."""
        outputs = [image]
        for links, layer in zip(self.links, self.layers, strict=True):
            outputs.append(layer(torch.cat([outputs[link] for link in links], 1)))
        return torch.cat([outputs[number] for number in self.kept], 1)


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU6."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, image: Tensor) -> Tensor:
        """The activated map."""
        return F.relu6(self.norm(self.conv(image)))


class Decoder(nn.Module):
    """Three blocks from the maps at 1/16, 1/8 and 1/4. widths: of the backbone's maps; channels: of the result."""

    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        super().__init__()
        fine, middle, deep = widths[:3]
        self.up1 = SkipBlock(deep, middle)
        self.up2 = SkipBlock(middle, fine)
        self.final = LastBlock(fine, channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A map at 1/4."""
        fine, middle, deep = maps[:3]
        result: Tensor = self.final(self.up2(self.up1(deep, middle), fine))
        return result


class SkipBlock(nn.Module):
    """Two convolutions with nothing between them, batch norm, leaky ReLU, on [twice as large deeper map, skip]."""

    def __init__(self, deep: int, skip: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(deep + skip, skip, 3, padding=1)
        self.conv2 = nn.Conv2d(skip, skip, 3, padding=1)
        self.BN = nn.BatchNorm2d(skip)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """A map of the skip's size and channels."""
        larger = F.interpolate(deep, scale_factor=2, mode="bilinear")
        return F.leaky_relu(self.BN(self.conv2(self.conv1(torch.cat([larger, skip], 1)))))


class LastBlock(nn.Module):
    """Convolution, batch norm, ReLU, convolution. The official code has a second batch norm that it does not use."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.BN1, self.BN2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, image: Tensor) -> Tensor:
        """A map of the same size."""
        result: Tensor = self.conv2(self.BN1(self.conv1(image)).relu())
        return result
