"""Mutual learning with reliable pseudo labels (Su et al., Medical Image Analysis 2024).

One encoder has two different decoders, which teach each other. A decoder learns only at voxels where it is less certain
than the other one. Each such voxel counts by how well the teaching decoder's probability agrees with its features: with
the cosine similarity between the voxel's vector and the vectors of each class.
Follows Jiawei0o0/mutual-learning-with-reliable-pseudo-labels: code/train_Mutual_Reliable.py. Labelled crops take part
in the mutual term with predicted labels. The supervised loss is the method's own, not the protocol's.
Departure: an absent class has a zero vector and the similarity 0, as there, without a loop over the classes.
Ours (unverified): more than two classes, and other networks than the V-Net, whose own decoder is then the first one.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.blocks.class_counts import class_counts, prototypes
from semiseg.blocks.losses import entropy
from semiseg.blocks.organ_dice import dice_linear_each
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.network import Backbone

CODE = "Jiawei0o0/mutual-learning-with-reliable-pseudo-labels: code/train_Mutual_Reliable.py"
EPSILON = 1e-6  # added to the number of taught voxels


@torch.no_grad()
def reliability(student: Tensor, teacher: Tensor, feature: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mask and weight of the voxels at which a decoder is taught, bool and float32, both ``[b z y x]``.

    student, teacher: probabilities ``[b k z y x]`` of both decoders; feature: maps ``[b c z y x]`` of the teaching one;
    target: its labels ``[b z y x]``. The mask is true where the student's entropy is the larger one. The weight is the
    mean over classes of 1 - (s - p)^2: p the teacher's probability, s the cosine similarity of the voxel's vector and
    the mean vector of the class in the same crop.
    """
    mask = (entropy(student) > entropy(teacher)).squeeze(1)
    means = prototypes(feature, target, class_counts(target, teacher.shape[1]))
    vectors = F.normalize(feature.float(), dim=1)
    similarity = torch.einsum("bkc,bczyx->bkzyx", F.normalize(means, dim=2), vectors)
    return mask, (1 - (similarity - teacher).square()).mean(1)


def taught(scores: Tensor, target: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """S(m r ce) / (S(m) + 1e-6) over the voxels of all crops; scores ``[b k z y x]``, target ``[b z y x]``."""
    losses = F.cross_entropy(scores.float(), target, reduction="none")
    return (losses * weight * mask).sum() / (mask.sum() + EPSILON)


class MLRPL(Method):
    """L = lamda (L_dice(1) + L_dice(2)) + w r(t) (L_mutual(1 <- 2) + L_mutual(2 <- 1)).

    L_mutual is the mean over the taught voxels of r CE(z, argmax z'): z the logits of the decoder that is taught, z'
    those of the other one, r the reliability of a voxel.
    """

    networks = {"network": "default"}
    inference_networks = ("network",)
    requires = ("further_decoders",)
    network: Backbone

    weight = Hyper(1.0, "weight w of the mutual term, times the protocol's ramp", f"{CODE} --consistency")
    lamda = Hyper(0.5, "weight of the supervised term", f"{CODE} --lamda")
    ce_on_probabilities = Hyper(
        False,
        "whether the cross-entropy takes probabilities as if they were logits, so that a second softmax acts",
        f"{CODE}: false since October 2024, true in the upload of January 2024; which made the table is not known",
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.second = self.network.new_decoder("nearest")
        self.second_head = nn.Conv3d(self.network.widths[0], context.classes, 1)

    def outputs(self, images: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Logits ``[b k z y x]`` and last map ``[b c z y x]`` of both decoders."""
        maps = self.network.encode(images)
        first, second = self.network.decode(maps)[-1], self.second(maps)[-1]
        return (self.network.head(first), first), (self.second_head(second), second)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Dice of both decoders on the labelled rows, then the mutual term of all rows."""
        count, (first, second) = len(batch.images), self.outputs(batch.everything)
        dice = [dice_linear_each(logits[:count].float().softmax(1), batch.labels) for logits, _ in (first, second)]
        return {
            "supervised": dice[0] + dice[1],
            "mutual": self.mutual(first[0], *second) + self.mutual(second[0], *first),
        }

    def mutual(self, student: Tensor, teacher: Tensor, feature: Tensor) -> Tensor:
        """L_mutual of a decoder with the logits ``student``, from the other one's logits and last map."""
        probabilities, peer = student.float().softmax(1), teacher.detach().float().softmax(1)
        target = self.context.refine(peer.argmax(1), peer)
        mask, weight = reliability(probabilities, peer, feature, target)
        return taught(probabilities if self.ce_on_probabilities else student, target, mask, weight)

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """lamda, and the ramped weight w r(t)."""
        return {"supervised": self.lamda, "mutual": self.weight * time.ramp}
