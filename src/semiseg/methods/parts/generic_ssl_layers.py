"""The layers of GenericSSL's networks: units, changes of resolution, and the fusion of maps with a time.

Source: xmed-lab/GenericSSL: code/DiffVNet/diff_vnet.py. A unit is conv, ReLU, batch norm and channel dropout, in this
order. The vector of a diffusion's time is added to maps where there is one.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNIT_DROPOUT = 0.1
SINUSOID, TIME = 128, 512  # numbers of the sinusoid of a time, and of its vector
SLOWEST = 10000  # ratio of the highest frequency to the lowest one


def sinusoid(times: Tensor, dimension: int = SINUSOID) -> Tensor:
    """Sines, then cosines of times ``[b]`` at falling frequencies, ``[b dimension]``."""
    half = dimension // 2
    falling = torch.arange(half, device=times.device) * (-math.log(SLOWEST) / (half - 1))
    angles = times.float().unsqueeze(1) * falling.exp()
    return torch.cat([angles.sin(), angles.cos()], 1)


class Fusion(nn.Module):
    """Adds a linear function of the swish of a time vector ``[b 512]`` to a map ``[b c z y x]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(TIME, width)

    def forward(self, feature: Tensor, time: Tensor | None) -> Tensor:
        """The map as it is where there is no time."""
        if time is None:
            return feature
        moved: Tensor = feature + self.projection(F.silu(time))[:, :, None, None, None]
        return moved


class Unit(nn.Module):
    """Conv 3x3x3, ReLU, batch norm, dropout; in a timed stage then the fusion with the time."""

    def __init__(self, before: int, width: int, timed: bool) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv3d(before, width, 3, padding=1), nn.BatchNorm3d(width)
        self.dropout = nn.Dropout3d(UNIT_DROPOUT)
        self.fusion = Fusion(width) if timed else None

    def forward(self, feature: Tensor, time: Tensor | None) -> Tensor:
        """The next map."""
        feature = self.dropout(self.norm(self.conv(feature).relu()))
        return feature if self.fusion is None else self.fusion(feature, time)


class Stage(nn.Module):
    """Units of one level. The time is not fused after the last one, whose fusion exists and is never used."""

    def __init__(self, count: int, before: int, width: int, timed: bool) -> None:
        super().__init__()
        self.units = nn.ModuleList(Unit(before if not number else width, width, timed) for number in range(count))

    def forward(self, feature: Tensor, time: Tensor | None) -> Tensor:
        """The last map of the level."""
        *others, last = self.units
        for unit in others:
            feature = unit(feature, time)
        return last(feature, None)  # type: ignore[no-any-return]


class Change(nn.Module):
    """Change of the resolution: conv or transposed conv 2x2x2, ReLU, batch norm; with a time then the fusion."""

    def __init__(self, convolution: nn.Module, width: int, timed: bool) -> None:
        super().__init__()
        self.conv, self.norm = convolution, nn.BatchNorm3d(width)
        self.fusion = Fusion(width) if timed else None

    def forward(self, feature: Tensor, time: Tensor | None) -> Tensor:
        """The map of the next level."""
        feature = self.norm(self.conv(feature).relu())
        return feature if self.fusion is None else self.fusion(feature, time)


def change_names(ours: str, official: str) -> dict[str, str]:
    """Layers of a ``Change`` -> their names in the source."""
    layers = {"conv": "0", "norm": "2", "fusion.projection": "3.temb_proj"}
    return {f"{ours}.{layer}": f"{official}.ops.{name}" for layer, name in layers.items()}


def unit_names(ours: str, official: str, count: int) -> dict[str, str]:
    """Layers of a ``Stage`` of so many units -> their names in the source."""
    layers = {"conv": "conv", "norm": "norm", "fusion.projection": "temb_fusion.temb_proj"}
    return {
        f"{ours}.units.{unit}.{layer}": f"{official}.ops.{unit}.{name}"
        for unit in range(count)
        for layer, name in layers.items()
    }
