"""Cube-wise pseudo-label blending (Chen et al., CVPR 2023; DeepMed-Lab-ECNU/MagicNet: code/train_main_btcv.py)."""

import torch
from torch import Tensor


def frequencies(counts: Tensor, temperature: float) -> Tensor:
    """R = counts^(1/T) over its maximum, float ``[k]`` in [0, 1]; all 0 where nothing was counted."""
    scaled = counts.pow(1 / temperature)
    return scaled / scaled.max().clamp(min=torch.finfo(scaled.dtype).tiny)


def blend(teacher: Tensor, cube: Tensor, share: Tensor) -> Tensor:
    """(1 - w) teacher + w cube, of logits ``[u k z y x]``, float32; w is the share ``[k]`` of the teacher's class."""
    return torch.lerp(teacher.float(), cube.float(), share[teacher.argmax(1)].unsqueeze(1))
