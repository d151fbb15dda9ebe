"""Sliding-window inference at the papers' window positions.

Windows start at min(stride x i, size - window), i = 0..ceil((size - window) / stride), on each axis. An axis shorter
than the window is padded with zeros, half on each side with the odd voxel at the end, and cropped back afterwards. The
score of a voxel is the mean over the windows that contain it. Scores equal those of MONAI's
``sliding_window_inference`` to the bit: windows go through the network in the same order and batches, and are added in
that order.

The number of windows in a batch moves the last bits of a network's scores (torch and cuDNN choose algorithms by it).
So it follows from the window alone, not from the memory that a device has free at the moment: a label map must come out
the same beside other jobs.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

# Larger windows go one by one, as in the official scripts of LA, DHC and MagicNet: that is as fast and takes the least
# memory. Small ones go together, because torch's convolutions of a small batch of one are up to three times slower.
VOXELS_PER_BATCH, MOST_PER_BATCH = 2**19, 4

Box = tuple[slice, ...]  # of one window in z, y, x


def slide(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    classes: int,
    window: Sequence[int],
    stride: Sequence[int],
    border: Sequence[int] = (0, 0, 0),
) -> Tensor:
    """Mean class scores ``[k z y x]`` of a volume ``[c z y x]``; ``predict`` maps ``[b c z y x]`` to ``[b k z y x]``.

    border: by how many voxels the volume's ends are repeated along each axis before windows are cut. Besides the
    network's memory this needs one score volume, which stays on the GPU only if it fits there.
    """
    if any(border):
        image = pad(image, [voxels for axis in reversed(border) for voxels in (axis, axis)], mode="replicate")
        scores = slide(predict, image, classes, window, stride)
        return scores[:, *(slice(more, side - more) for more, side in zip(border, image.shape[1:], strict=True))]
    sides = image.shape[1:]
    missing = [max(size - side, 0) for side, size in zip(sides, window, strict=True)]
    before = [lack // 2 for lack in missing]
    if any(missing):
        ends = [(first, lack - first) for first, lack in zip(before, missing, strict=True)]
        image = pad(image, [voxels for axis in reversed(ends) for voxels in axis])  # `pad` begins with the last axis
    starts = [window_starts(*axis) for axis in zip(image.shape[1:], window, stride, strict=True)]
    device = _stitching_device(image.device, 4 * classes * image[0].numel())
    scores = torch.zeros(classes, *image.shape[1:], dtype=image.dtype, device=device)
    boxes, count = _boxes(starts, window), windows_per_batch(window)
    for first in range(0, len(boxes), count):
        together = boxes[first : first + count]
        batch = predict(torch.stack([image[:, *box] for box in together])).to(device)
        for box, part in zip(together, batch, strict=True):
            scores[:, *box] += part
    _divide(scores, [_windows_per_voxel(*axis) for axis in zip(starts, window, image.shape[1:], strict=True)])
    return scores[:, *(slice(first, first + side) for first, side in zip(before, sides, strict=True))]


def windows_per_batch(window: Sequence[int]) -> int:
    """Number of windows that go through the network together."""
    return min(max(VOXELS_PER_BATCH // math.prod(window), 1), MOST_PER_BATCH)


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """First voxels of the windows on an axis of ``size`` voxels, which is at least one window long."""
    return [min(stride * i, size - window) for i in range(math.ceil((size - window) / stride) + 1)]


def _boxes(starts: Sequence[Sequence[int]], window: Sequence[int]) -> list[Box]:
    """Boxes of all windows; x runs fastest."""
    return [
        tuple(slice(first, first + size) for first, size in zip(corner, window, strict=True))
        for corner in itertools.product(*starts)
    ]


def _windows_per_voxel(starts: Sequence[int], window: int, side: int) -> Tensor:
    """Number of windows that contain each voxel along one axis ``[side]``."""
    counts = torch.zeros(side)
    for first in starts:
        counts[first : first + window] += 1
    return counts


def _divide(scores: Tensor, counts: Sequence[Tensor]) -> None:
    """Divide scores ``[k z y x]`` in place by the number of windows, the product of the numbers along the three axes.

    It is done slab by slab, so that no volume of numbers is made.
    """
    z, y, x = (count.to(scores.device, scores.dtype) for count in counts)
    plane = y[:, None] * x
    for slab, along in zip(scores.unbind(1), z, strict=True):
        slab /= along * plane


def _stitching_device(device: torch.device, score_bytes: int) -> torch.device:
    """The GPU if the score volume takes at most half of its free memory, else the CPU."""
    if device.type == "cuda" and 2 * score_bytes > torch.cuda.mem_get_info(device)[0]:
        return torch.device("cpu")
    return device
