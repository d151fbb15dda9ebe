"""Sliding-window inference at the papers' window positions, stitched by MONAI.

Windows start at min(stride x i, size - window), i = 0..ceil((size - window) / stride), on each axis. An axis shorter
than the window is padded with zeros, half on each side with the odd voxel at the end, and cropped back afterwards. The
score of a voxel is the mean over the windows that contain it.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WINDOWS_PER_BATCH = 4


def slide(
    predict: Callable[[Tensor], Tensor], image: Tensor, classes: int, window: Sequence[int], stride: Sequence[int]
) -> Tensor:
    """Mean class scores ``[k z y x]`` of a volume ``[c z y x]``; ``predict`` maps ``[b c z y x]`` to ``[b k z y x]``.

    Besides the network's memory this needs one score volume, which stays on the GPU only if it fits there.
    """
    from monai.inferers.utils import sliding_window_inference  # here: it takes seconds, and controls train without

    # MONAI truncates window x (1 - overlap) to get its stride, so the overlap aims half a voxel above the wanted stride
    overlap = [max(1 - (step + 0.5) / size, 0.0) for step, size in zip(stride, window, strict=True)]
    voxels = math.prod(max(side, size) for side, size in zip(image.shape[1:], window, strict=True))
    scores = sliding_window_inference(
        image[None],
        roi_size=tuple(window),
        sw_batch_size=WINDOWS_PER_BATCH,
        predictor=predict,
        overlap=overlap,
        mode="constant",
        sw_device=image.device,
        device=_stitching_device(image.device, 4 * classes * voxels),
    )
    assert isinstance(scores, Tensor)
    return scores[0]


def _stitching_device(device: torch.device, score_bytes: int) -> torch.device:
    """The GPU if the score volume takes at most half of its free memory, else the CPU."""
    if device.type == "cuda" and 2 * score_bytes > torch.cuda.mem_get_info(device)[0]:
        return torch.device("cpu")
    return device
