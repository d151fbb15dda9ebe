"""Sliding-window inference at the papers' window positions.

Windows start at min(stride x i, size - window), i = 0..ceil((size - window) / stride), on each axis. An axis shorter
than the window is padded with zeros, half on each side with the odd voxel at the end, and cropped back afterwards. The
score of a voxel is the mean over the windows that contain it. Scores equal those of MONAI's
``sliding_window_inference`` to the bit: windows go through the network in the same order and batches, and are added in
that order.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

WINDOWS_PER_BATCH = 4

Box = tuple[slice, ...]  # of one window in z, y, x


def slide(
    predict: Callable[[Tensor], Tensor], image: Tensor, classes: int, window: Sequence[int], stride: Sequence[int]
) -> Tensor:
    """Mean class scores ``[k z y x]`` of a volume ``[c z y x]``; ``predict`` maps ``[b c z y x]`` to ``[b k z y x]``.

    Besides the network's memory this needs one score volume, which stays on the GPU only if it fits there.
    """
    sides = image.shape[1:]
    missing = [max(size - side, 0) for side, size in zip(sides, window, strict=True)]
    before = [lack // 2 for lack in missing]
    if any(missing):
        ends = [(first, lack - first) for first, lack in zip(before, missing, strict=True)]
        image = pad(image, [voxels for axis in reversed(ends) for voxels in axis])  # `pad` begins with the last axis
    starts = [window_starts(*axis) for axis in zip(image.shape[1:], window, stride, strict=True)]
    device = _stitching_device(image.device, 4 * classes * image[0].numel())
    scores = torch.zeros(classes, *image.shape[1:], dtype=image.dtype, device=device)
    boxes = _boxes(starts, window)
    for first in range(0, len(boxes), WINDOWS_PER_BATCH):
        together = boxes[first : first + WINDOWS_PER_BATCH]
        batch = predict(torch.stack([image[:, *box] for box in together])).to(device)
        for box, part in zip(together, batch, strict=True):
            scores[:, *box] += part
    scores /= _windows_per_voxel(starts, window, image.shape[1:]).to(device, image.dtype)
    return scores[:, *(slice(first, first + side) for first, side in zip(before, sides, strict=True))]


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """First voxels of the windows on an axis of ``size`` voxels, which is at least one window long."""
    return [min(stride * i, size - window) for i in range(math.ceil((size - window) / stride) + 1)]


def _boxes(starts: Sequence[Sequence[int]], window: Sequence[int]) -> list[Box]:
    """Boxes of all windows; x runs fastest."""
    return [
        tuple(slice(first, first + size) for first, size in zip(corner, window, strict=True))
        for corner in itertools.product(*starts)
    ]


def _windows_per_voxel(starts: Sequence[Sequence[int]], window: Sequence[int], sides: Sequence[int]) -> Tensor:
    """Number of windows ``[z y x]`` that contain each voxel: the product of the numbers along the three axes."""
    counts = torch.ones(())
    for firsts, size, side in zip(starts, window, sides, strict=True):
        along = torch.zeros(side)
        for first in firsts:
            along[first : first + size] += 1
        counts = counts[..., None] * along
    return counts


def _stitching_device(device: torch.device, score_bytes: int) -> torch.device:
    """The GPU if the score volume takes at most half of its free memory, else the CPU."""
    if device.type == "cuda" and 2 * score_bytes > torch.cuda.mem_get_info(device)[0]:
        return torch.device("cpu")
    return device
