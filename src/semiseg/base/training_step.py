"""What a method receives: the batch and the time of a training step, and the facts of its training.

Methods import this from ``semiseg.method``, where the shapes are explained.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Derive = Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]  # from a crop [c z y x] to maps by name
NO_ORIGIN = torch.empty(0, 4, dtype=torch.int64)  # of crops that are not cut from cases
NO_CROPS, NO_SHIFTS = torch.empty(0, 1, 0, 0, 0), torch.empty(0, 3, dtype=torch.int64)


@dataclass(frozen=True)
class Batch:
    """The crops of one training step. It has no field for labels of unlabelled crops, so no method can read them.

    images: ``[b c z y x]``; labels: ``[b z y x]`` class ids, int64 for a method and uint8 before ``to``; unlabelled:
    ``[u c z y x]``. maps: what ``Method.derive`` computed from each unlabelled crop, by name, each ``[u ...]``.

    labelled_origin, unlabelled_origin: ``[b 4]`` and ``[u 4]`` int64, always in main memory: the number of each crop's
    case in the split's list of labelled or unlabelled cases, from 0, and the first voxel of its box in the stored
    volume, negative in the padding. Quarter turns and flips exchange the sides of that box and reverse the crop in it.

    second: ``[b+u c z y x]``, a second crop of each item's scan, where the protocol has one (``augmentation.second``).
    shifts: ``[b+u 3]`` int64, always in main memory: the voxels by which it begins before the first one on each axis.
    """

    images: Tensor
    labels: Tensor
    unlabelled: Tensor
    labelled_origin: Tensor = NO_ORIGIN
    unlabelled_origin: Tensor = NO_ORIGIN
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    second: Tensor = NO_CROPS
    shifts: Tensor = NO_SHIFTS

    @property
    def everything(self) -> Tensor:
        """Labelled crops first, unlabelled after them, ``[b+u c z y x]``."""
        return torch.cat([self.images, self.unlabelled])

    def tensors(self) -> tuple[Tensor, ...]:
        """What lies on the device: images, labels, unlabelled images, second crops and maps."""
        return self.images, self.labels, self.unlabelled, self.second, *self.maps.values()

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device, copied without waiting when the memory is pinned.

        Labels become int64 there, because eight times as many bytes need not be copied.
        """
        images, labels, unlabelled, second, *maps = (tensor.to(device, non_blocking=True) for tensor in self.tensors())
        named = dict(zip(self.maps, maps, strict=True))
        return replace(self, images=images, labels=labels.long(), unlabelled=unlabelled, second=second, maps=named)


@dataclass(frozen=True)
class TrainingTime:
    """The position of a step in the training.

    iteration, epoch: numbers of finished steps and epochs BEFORE this step; both start at 0.
    iterations, epochs: length of the whole training, without the protocol's extra epochs.
    ramp: the protocol's ramp-up at this step, in [0, 1]; methods multiply the weight of an unsupervised term with it.
    last_in_epoch: whether this step completes an epoch.
    """

    iteration: int
    iterations: int
    epoch: int
    epochs: int
    ramp: float
    last_in_epoch: bool = False


def unrefined(labels: Tensor, scores: Tensor) -> Tensor:
    """The pseudo labels as they are."""
    return labels


@dataclass(frozen=True)
class Context:
    """What a method receives when it is built: for training and, with the same facts, for prediction.

    classes: number of classes K, background included.
    network: function that builds one backbone of the protocol. ``network(initialisation, channels)`` takes
        ``"default"``, ``"kaiming"`` or ``"xavier"`` and the number of channels of the head; ``in_channels`` is the
        number of channels of its input, by default 1; ``backbone`` is another class of ``semiseg.networks``.
    supervised: the protocol's supervised loss, a function of logits ``[b k z y x]`` and labels ``[b z y x]``.
    labelled_voxels: ``[n k]`` float64, number of voxels of each class in each labelled volume as it is stored, in the
        order of the cases' names. ``labelled_voxels.sum(0)`` are the totals.
    unlabelled_cases: number of unlabelled cases of the split, also where the method uses none of them.
    patch: sides of a training crop ``(z, y, x)`` in voxels, in the order of the stored volume.
    window: sides of a window of inference in voxels. ``predict`` receives windows of this size.
    refine: function that turns the hard pseudo labels of a method into the targets of its losses, without gradient.
        A method calls it on pseudo labels ``[n z y x]`` and the scores ``[n k z y x]`` whose arg-max they are, with the
        rows of the unlabelled crops at the end. The labels stay as they are, unless another method has built this one
        in order to refine them.
    wrapped: hyperparameters of the method that this one builds and wraps, if it does (``Method.wraps``).

    ``semiseg plan`` builds a method as well, to count the work of a step on a small crop. The facts are then this crop
    as patch and window, one labelled case with a voxel of each class, and four unlabelled cases.
    """

    classes: int
    network: Callable[..., nn.Module]
    supervised: Callable[[Tensor, Tensor], Tensor]
    labelled_voxels: Tensor
    unlabelled_cases: int
    patch: tuple[int, int, int]
    window: tuple[int, int, int]
    refine: Callable[[Tensor, Tensor], Tensor] = unrefined
    wrapped: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labelled_cases(self) -> int:
        """Number of labelled cases of the split."""
        return len(self.labelled_voxels)
