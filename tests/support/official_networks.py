"""The official networks of the LA tables, stated once more under their own names of modules, for checkpoints of them.

Written from the descriptions of yulequan/UA-MT, HiLab-git/DTC, ycwu1997/MC-Net, ycwu1997/SS-Net, DeepMed-Lab-ECNU/BCP,
Herschel555/CAML and WYC-321/MCF; nothing here uses the package.
"""

from itertools import pairwise

import torch
from torch import nn

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
UNITS = (1, 2, 3, 3, 3)
TRANSPOSED, TRILINEAR, NEAREST = range(3)


class Listed(nn.Module):
    """Layers in a list that is called conv."""

    def __init__(self, *layers):
        super().__init__()
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.conv(x)


def block(units, before, width):
    layers = []
    for source in [before] + [width] * (units - 1):
        layers += [nn.Conv3d(source, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU()]
    return Listed(*layers)


def upwards(deep, width, form):
    if form == TRANSPOSED:
        return Listed(nn.ConvTranspose3d(deep, width, 2, stride=2), nn.BatchNorm3d(width), nn.ReLU())
    if form == TRILINEAR:
        larger = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True)
    else:
        larger = nn.Upsample(scale_factor=2, mode="nearest")
    return Listed(larger, nn.Conv3d(deep, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU())


class Encoder(nn.Module):
    def __init__(self, filters):
        super().__init__()
        self.widths = [filters * 2**level for level in range(5)]
        for level, width in enumerate(self.widths):
            before = width if level else 1
            self.add_module(f"block_{NUMBERS[level]}", block(UNITS[level], before, width))
            if level < 4:
                down = Listed(nn.Conv3d(width, 2 * width, 2, stride=2), nn.BatchNorm3d(2 * width), nn.ReLU())
                self.add_module(f"block_{NUMBERS[level]}_dw", down)

    def forward(self, x):
        maps = []
        for level in range(5):
            x = self.get_submodule(f"block_{NUMBERS[level]}")(x)
            maps.append(x)
            x = self.get_submodule(f"block_{NUMBERS[level]}_dw")(x) if level < 4 else x
        return maps


class Decoder(nn.Module):
    def __init__(self, filters, classes=2, form=TRANSPOSED):
        super().__init__()
        for level, units in enumerate(UNITS[-2::-1]):
            width = filters * 2 ** (3 - level)
            self.add_module(f"block_{NUMBERS[level + 4]}_up", upwards(2 * width, width, form))
            self.add_module(f"block_{NUMBERS[level + 5]}", block(units, width, width))
        self.out_conv = nn.Conv3d(filters, classes, 1)

    def feature(self, maps):
        x = maps[-1]
        for level in range(4):
            x = self.get_submodule(f"block_{NUMBERS[level + 4]}_up")(x) + maps[3 - level]
            x = self.get_submodule(f"block_{NUMBERS[level + 5]}")(x)
        return x

    def forward(self, maps):
        return self.out_conv(self.feature(maps))


class Flat(nn.Module):
    """Encoder and decoder as one module; scores are the softmax of its head."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.parts = (encoder, decoder)  # not registered: their children are
        for part in self.parts:
            for name, child in part.named_children():
                self.add_module(name, child)

    def forward(self, x):
        encoder, decoder = self.parts
        return decoder(encoder(x)).softmax(1)


class DTC(Flat):
    """Two heads of one channel: out_conv for the distance, out_conv2 for the segmentation."""

    def __init__(self, filters):
        super().__init__(Encoder(filters), Decoder(filters, 1))
        self.out_conv2 = nn.Conv3d(filters, 1, 1)

    def forward(self, x):
        encoder, decoder = self.parts
        foreground = self.out_conv2(decoder.feature(encoder(x))).sigmoid()
        return torch.cat([1 - foreground, foreground], 1)


class MCNetPlus(nn.Module):
    def __init__(self, filters):
        super().__init__()
        self.encoder = Encoder(filters)
        for form in (TRANSPOSED, TRILINEAR, NEAREST):
            self.add_module(f"decoder{form + 1}", Decoder(filters, form=form))

    def forward(self, x):
        return self.decoder1(self.encoder(x)).softmax(1)


def head(width, dimension, last=None):
    layers = nn.Linear(width, dimension), nn.BatchNorm1d(dimension), nn.ReLU(), nn.Linear(dimension, last or dimension)
    return nn.Sequential(*layers)


class SSNet(nn.Module):
    """The class for LA that BCP has as well, without a use for its heads."""

    def __init__(self, filters, classes=2):
        super().__init__()
        self.encoder, self.decoder = Encoder(filters), Decoder(filters)
        self.projection_head, self.prediction_head = head(filters, 2 * filters), head(2 * filters, 2 * filters)
        for number in range(classes):
            for name in (f"contrastive_class_selector_{number}", f"contrastive_class_selector_memory{number}"):
                self.add_module(name, head(2 * filters, 2 * filters, 1))

    def forward(self, x):
        return self.decoder(self.encoder(x)).softmax(1)


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.encoder_layers = nn.TransformerEncoderLayer(width, 4, 4 * width)


class CAML(nn.Module):
    """The second encoder attends in training alone."""

    def __init__(self, filters):
        super().__init__()
        self.encoder1, self.decoder1 = Encoder(filters), Decoder(filters)
        self.encoder2, self.decoder2 = Encoder(filters), Decoder(filters, form=TRILINEAR)
        self.encoder2.intra_attention, self.encoder2.inter_attention = Attention(8 * filters), Attention(8 * filters)
        for number in (1, 2):
            self.add_module(f"projection_head{number}", head(filters, 32))
            self.add_module(f"prediction_head{number}", head(32, 32))

    def forward(self, x):
        return self.decoder1(self.encoder1(x)).softmax(1)


class Residual(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(before, width, 3, stride, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = nn.Conv3d(width, width, 3, 1, 1, bias=False), nn.BatchNorm3d(width)
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv3d(before, width, 1, stride, bias=False), nn.BatchNorm3d(width))

    def forward(self, x):
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (inner + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class ResNetEncoder(nn.Module):
    def __init__(self, filters):
        super().__init__()
        widths = [filters * 2**level for level in range(5)]
        self.conv1, self.bn1 = nn.Conv3d(1, filters, 7, padding=3, bias=False), nn.BatchNorm3d(filters)
        for number, (count, (before, width)) in enumerate(zip((3, 4, 6, 3), pairwise(widths), strict=True), 1):
            blocks = [Residual(before, width, 2), *(Residual(width, width, 1) for _ in range(count - 1))]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, x):
        maps = [self.bn1(self.conv1(x)).relu()]
        for number in range(1, 5):
            maps.append(self.get_submodule(f"layer{number}")(maps[-1]))
        return maps


class MCFResNet(nn.Module):
    def __init__(self, filters):
        super().__init__()
        self.resnet_encoder = ResNetEncoder(filters)
        self.decoder = (Decoder(filters),)  # not registered: its children are
        for name, child in self.decoder[0].named_children():
            self.add_module(name, child)

    def forward(self, x):
        return self.decoder[0](self.resnet_encoder(x)).softmax(1)


def official(method, filters=2):
    """The networks whose checkpoints a method has, by the name of ours that each is for; "" where there is one."""
    plain = {"ua_mt": lambda: Flat(Encoder(filters), Decoder(filters)), "dtc": lambda: DTC(filters)}
    plain |= {"mc_net_plus": lambda: MCNetPlus(filters), "caml": lambda: CAML(filters)}
    plain |= dict.fromkeys(("ss_net", "bcp"), lambda: SSNet(filters))
    torch.manual_seed(3)
    found = {"": plain[method]()} if method in plain else {"a": plain["ua_mt"](), "b": MCFResNet(filters)}
    for network in found.values():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        network.eval()
    return found


METHODS = ("ua_mt", "dtc", "mc_net_plus", "ss_net", "bcp", "caml", "mcf")
