"""Intensities as crln and tracoco load them: the range 0..1, then a random brightness.

Sources: yyliu01/TraCoCo: Code/VnetLA/Dataloader, Yaan-Wang/CRLN: VnetLA/build_data.py. There the range is that of the
whole stored volume; here it is that of a crop or a window, because a method sees no more.
"""

from dataclasses import replace

import torch
from torch import Tensor

from semiseg.method import Batch

LOADING = ("stored", "range", "brightness")  # as it is; range 0..1; range 0..1 and in training a random brightness
BRIGHTNESS = (0.75, 1.25)


def loaded(batch: Batch, loading: str) -> Batch:
    """The batch with the images that training sees; loading: a name of ``LOADING``."""
    if loading == "stored":
        return batch
    images, unlabelled = unit_range(batch.images), unit_range(batch.unlabelled)
    if loading == "brightness":
        images, unlabelled = brightened(images), brightened(unlabelled)
    return replace(batch, images=images, unlabelled=unlabelled)


def shown(images: Tensor, loading: str) -> Tensor:
    """Windows ``[b c z y x]`` as inference sees them."""
    return images if loading == "stored" else unit_range(images)


def unit_range(images: Tensor) -> Tensor:
    """Images ``[b c z y x]``, each on the range 0..1; 0 where all its voxels are equal."""
    low, high = images.amin((1, 2, 3, 4), keepdim=True), images.amax((1, 2, 3, 4), keepdim=True)
    return (images - low) / (high - low).clamp(min=torch.finfo(images.dtype).tiny)


def brightened(images: Tensor) -> Tensor:
    """Each image ``[b c z y x]`` times a random factor, clipped to 0..1."""
    factors = brightness(len(images)).to(images)
    return (images * factors.view(-1, 1, 1, 1, 1)).clamp(0, 1)


def brightness(count: int) -> Tensor:
    """Random factors ``[count]`` in main memory."""
    low, high = BRIGHTNESS
    return low + (high - low) * torch.rand(count)
