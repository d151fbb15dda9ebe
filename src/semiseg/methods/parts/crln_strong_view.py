"""Strong view of crln: zoom in a plane, CutMix, brightness, noise, quarter turns and flips of crops and pseudo labels.

Follows Yaan-Wang/CRLN: VnetLA/build_data.py and module_list.py, which resize by OpenCV. The plane is that of the first
two axes. Departure: a plane that is not square makes half turns only, because a quarter turn would change its shape.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.box_mix import Boxes, draw_boxes, mixed
from semiseg.blocks.intensity import brightness, unit_range

IGNORED = -1  # pseudo label of voxels from outside of the crop
ZOOM = (0.5, 1.5)
BRIGHTENED, NOISY, TURNED = 0.8, 0.5, 0.5  # chances of these steps
NOISE, LARGEST_NOISE = 0.1, 0.2
PLANE = (-3, -2)


class View(NamedTuple):
    """Images ``[u c z y x]``, labels ``[u z y x]`` with -1 for ignored voxels, and confidences ``[u z y x]``."""

    images: Tensor
    labels: Tensor
    confidence: Tensor


class Changes(NamedTuple):
    """Random numbers of a step, each ``[u ...]``; all but ``noise`` lie in main memory.

    zoom: factor of the plane's sides. boxes: those of CutMix. brightness: factor. noise: standard normal,
    ``[u c z y x]``, 0 for a crop without noise. turns: quarter turns. flips: flipped axis, or -1.
    """

    zoom: Tensor
    boxes: Boxes
    brightness: Tensor
    noise: Tensor
    turns: Tensor
    flips: Tensor


def draw_changes(images: Tensor) -> Changes:
    """Draw the changes of crops ``[u c z y x]``."""
    count, square = len(images), images.shape[2] == images.shape[3]
    factors = torch.where(torch.rand(count) < BRIGHTENED, brightness(count), 1.0)
    noisy = (torch.rand(count) < NOISY).float().to(images.device).view(-1, 1, 1, 1, 1)
    turned = torch.rand(count) < TURNED
    turns = torch.randint(4, (count,)) if square else 2 * torch.randint(2, (count,))
    return Changes(
        ZOOM[0] + (ZOOM[1] - ZOOM[0]) * torch.rand(count),
        draw_boxes(images),
        factors,
        noisy * torch.randn_like(images),
        torch.where(turned, turns, 0),
        torch.where(turned, torch.randint(2, (count,)), -1),
    )


def strong_view(weak: View, changes: Changes, *, cutmix: bool, augment: bool) -> View:
    """The strong view; cutmix: with boxes from other crops; augment: with brightness, noise, turns and flips."""
    zoomed = [zoom(*item, factor) for item, factor in zip(zip(*weak, strict=True), changes.zoom.tolist(), strict=True)]
    view = View(*(torch.stack(parts) for parts in zip(*zoomed, strict=True)))
    if cutmix:
        view = View(*(mixed(each, changes.boxes) for each in view))
    if not augment:
        return view
    images = unit_range(view.images) * changes.brightness.to(view.images).view(-1, 1, 1, 1, 1)
    images = images.clamp(0, 1) + (NOISE * changes.noise).clamp(-LARGEST_NOISE, LARGEST_NOISE)
    turned = [
        [_turned(each, turns, flip) for each in item]
        for item, turns, flip in zip(
            zip(images, view.labels, view.confidence, strict=True),
            changes.turns.tolist(),
            changes.flips.tolist(),
            strict=True,
        )
    ]
    images, labels, confidence = (torch.stack(parts) for parts in zip(*turned, strict=True))
    return View(unit_range(images), labels, confidence)


def zoom(image: Tensor, label: Tensor, confidence: Tensor, factor: float) -> View:
    """The middle of a volume whose plane is larger by a factor, without the axis of the items; same sides.

    The image ``[c z y x]`` is interpolated by cubic convolution and mirrored at its border, and its range is 0..1
    before and after. Labels and confidences ``[z y x]`` are those of the nearest voxel, and -1 and 0 outside.
    """
    patch = image.shape[1:]
    sides = [int(patch[0] * factor), int(patch[1] * factor), patch[2]]
    plane = unit_range(image[None])[0].movedim(3, 1)  # the third axis is not zoomed
    # OpenCV computes the places of voxels in float64; in float32 their rounding moves the last digits of the losses
    larger = F.interpolate(plane.double(), sides[:2], mode="bicubic", align_corners=False).float().movedim(1, 3)
    places = _middle(sides, patch)
    z, y, x = (_mirrored(place, side).to(image.device) for place, side in zip(places, sides, strict=True))
    nearest = [_source(place, old, new) for place, old, new in zip(places, patch, sides, strict=True)]
    a, b, c = (place.to(image.device) for place in nearest)
    inside = (a >= 0)[:, None, None] & (b >= 0)[:, None] & (c >= 0)
    a, b, c = a.clamp(min=0)[:, None, None], b.clamp(min=0)[:, None], c.clamp(min=0)
    return View(
        unit_range(larger[None, :, z[:, None, None], y[:, None], x])[0],
        torch.where(inside, label[a, b, c], IGNORED),
        torch.where(inside, confidence[a, b, c], 0.0),
    )


def _middle(sides: list[int], patch: torch.Size) -> list[Tensor]:
    """Voxels of the middle crop on each axis, negative or too large in the padding.

    If a side is not longer than the patch, every axis is padded as random crops of the LA loaders are.
    """
    pads = [0, 0, 0]
    if any(side <= size for side, size in zip(sides, patch, strict=True)):
        pads = [max((size - side) // 2 + 3, 0) for side, size in zip(sides, patch, strict=True)]
    starts = [round((side + 2 * pad - size) / 2) - pad for side, pad, size in zip(sides, pads, patch, strict=True)]
    return [start + torch.arange(size) for start, size in zip(starts, patch, strict=True)]


def _mirrored(places: Tensor, side: int) -> Tensor:
    """Places of an axis that is mirrored at its first and last voxel, as often as needed."""
    period = max(2 * (side - 1), 1)
    places = places % period
    return torch.minimum(places, period - places)


def _source(places: Tensor, old: int, new: int) -> Tensor:
    """The old voxel nearest to each new one as OpenCV takes it; -1 outside."""
    source = (places.double() * (1 / (new / old))).floor().long().clamp(max=old - 1)
    return torch.where((places >= 0) & (places < new), source, -1)


def _turned(volume: Tensor, turns: int, flip: int) -> Tensor:
    volume = volume.rot90(turns, PLANE)
    return volume if flip < 0 else volume.flip(PLANE[flip])
