"""Changes of intensities in the range 0..1, as crln and tracoco make them: scaling to it and a random brightness.

Sources: yyliu01/TraCoCo: Code/VnetLA/Dataloader, Yaan-Wang/CRLN: VnetLA/build_data.py.
"""

from dataclasses import replace

import torch
from torch import Tensor

from semiseg.method import Batch

BRIGHTNESS = (0.75, 1.25)


def unit_range(images: Tensor) -> Tensor:
    """Images ``[b c z y x]``, each on the range 0..1; 0 where all its voxels are equal."""
    low, high = images.amin((1, 2, 3, 4), keepdim=True), images.amax((1, 2, 3, 4), keepdim=True)
    return (images - low) / (high - low).clamp(min=torch.finfo(images.dtype).tiny)


def brightened(batch: Batch) -> Batch:
    """The batch with each image times a random factor, the same for both crops of a scan, and clipped to 0..1."""
    factors = [brightness(len(images)) for images in (batch.images, batch.unlabelled)]
    images, unlabelled = map(_brightened, (batch.images, batch.unlabelled), factors)
    second = _brightened(batch.second, torch.cat(factors)) if len(batch.second) else batch.second
    return replace(batch, images=images, unlabelled=unlabelled, second=second)


def _brightened(images: Tensor, factors: Tensor) -> Tensor:
    factors = factors.to(images)
    return (images * factors.view(-1, 1, 1, 1, 1)).clamp(0, 1)


def brightness(count: int) -> Tensor:
    """Random factors ``[count]`` in main memory."""
    low, high = BRIGHTNESS
    return low + (high - low) * torch.rand(count)
