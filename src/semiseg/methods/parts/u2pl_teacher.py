"""What the teacher of U2PL gives to a step: pseudo labels of mixed crops, and voxels split by their entropy.

Source: Haochen-Wang409/U2PL: train_semi.py, u2pl/utils/loss_helper.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from semiseg.blocks.modes import evaluation_mode
from semiseg.blocks.perturbations import cutmix
from semiseg.blocks.reliability import percentiles
from semiseg.network import Backbone


def mixed_pseudo_labels(teacher: nn.Module, unlabelled: Tensor, probability: float) -> tuple[Tensor, Tensor]:
    """Unlabelled crops ``[u c z y x]`` and their pseudo labels ``[u z y x]``, both mixed by CutMix with a probability.

    The labels are the teacher's argmax in evaluation mode, before the mixing.
    """
    with evaluation_mode(teacher), torch.no_grad():
        labels = teacher(unlabelled).argmax(1)
    if torch.rand(()) < probability:
        return cutmix(unlabelled, labels)
    return unlabelled, labels


@torch.no_grad()
def feature_and_probabilities(teacher: Backbone, images: Tensor) -> tuple[Tensor, Tensor]:
    """The teacher's last decoder map ``[b c z y x]`` and its probabilities ``[b k z y x]`` in float32."""
    feature = teacher.features(images)[-1]
    return feature, teacher.head(feature).float().softmax(1)


class TeacherOutput(NamedTuple):
    """The teacher's output on a batch; the first ``labelled`` items have true labels.

    labels: true labels, then pseudo labels, ``[b z y x]``.
    probabilities: ``[b k z y x]``.
    low, high: bool ``[b z y x]``, whether a voxel has low and high entropy; both are True in labelled items.
    one_hot: ``per_image``, where each item has its own labels; ``released``, where the first labelled item has the
        labels of all labelled ones, the first unlabelled item those of all unlabelled ones, and no other item has any
        (u2pl/utils/utils.py label_onehot writes every item's classes into the first one).
    """

    labels: Tensor
    probabilities: Tensor
    low: Tensor
    high: Tensor
    labelled: int
    one_hot: str = "per_image"

    def voxels_of(self, number: int) -> Tensor:
        """The voxels of class ``number``, bool ``[b z y x]``; in the released form a voxel can have several classes."""
        found = self.labels == number
        if self.one_hot == "per_image":
            return found
        gathered = torch.zeros_like(found)
        for half, target in zip(*(each.tensor_split([self.labelled]) for each in (found, gathered)), strict=True):
            target[:1] = half.any(0, keepdim=True)
        return gathered


def split_by_entropy(
    labels: Tensor,
    pseudo: Tensor,
    probabilities: Tensor,
    uncertainty: Tensor,
    percent: float,
    one_hot: str = "per_image",
) -> TeacherOutput:
    """Teacher output whose voxels have low entropy up to one percentile and high entropy from another one on.

    These are the ``percent`` and the 100 - ``percent`` percentile of the uncertainty of all unlabelled voxels.

    labels: ``[b z y x]``; pseudo (labels) and uncertainty: ``[u z y x]``; probabilities: ``[b+u k z y x]``; one_hot: as
    in ``TeacherOutput``.
    """
    low, high = percentiles(uncertainty, [percent, 100 - percent])
    labelled = torch.ones_like(labels, dtype=torch.bool)
    return TeacherOutput(
        torch.cat([labels, pseudo]),
        probabilities,
        torch.cat([labelled, uncertainty <= low]),
        torch.cat([labelled, uncertainty >= high]),
        len(labels),
        one_hot,
    )
