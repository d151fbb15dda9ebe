"""Class weights ``[k]`` from voxel counts, from a network's predictions, or from the progress of its Dice."""

import torch
from torch import Tensor, nn

from semiseg.blocks.class_counts import class_counts

EPSILON = 1e-8


def rarity_weights(counts: Tensor) -> Tensor:
    """(max N / N_k)^(1/3) of voxel counts ``[k]`` (xmed-lab/DHC: code/train_cld.py Synapse_AMOS_cld.weight).

    Ours: a class without voxels has weight 0, because nothing is known of it; the code gives it infinity.
    """
    return torch.where(counts > 0, (counts.max() / counts.clamp(min=1)) ** (1 / 3), 0.0)


def knowledge_weights(counts: Tensor) -> Tensor:
    """ln(max N / N_k) over its maximum, ``[k]`` in [0, 1]; all 1 if all counts are equal, where the codes give 0/0.

    Source: xmed-lab/DHC: code/train_dhc.py DistDW, kimjisoo12/GuidedNet: train_guidedNet_flare.py KTCPS.
    """
    ratio = ((counts.max() + EPSILON) / (counts + EPSILON)).log()
    return torch.where(ratio.max() > 0, ratio / ratio.max(), 1.0)


def update_knowledge_weights(weights: Tensor, counts: Tensor, momentum: float) -> Tensor:
    """Moving average: momentum w + (1 - momentum) K knowledge_weights(counts); weights and counts ``[k]``."""
    return momentum * weights + (1 - momentum) * (len(counts) * knowledge_weights(counts))


def hard_dice(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Dice of class ids ``[b z y x]`` over the whole batch, ``[k]`` with background; 0.5 for a class in neither.

    Source: xmed-lab/DHC: code/utils/loss.py SoftDiceLoss on one-hot maps, s = 1e-8.
    """
    pairs = class_counts(labels * classes + predicted, classes**2).sum(0).view(classes, classes)
    return (2 * pairs.diagonal() + EPSILON) / (pairs.sum(0) + pairs.sum(1) + 2 * EPSILON)


class Difficulty(nn.Module):
    """DiffDW: difficulty of each class, from the changes of its Dice (xmed-lab/DHC: code/train_dhc.py).

    Three moving averages over about T = ``steps`` steps: ``learn`` of the gains, ``unlearn`` of the losses, and
    ``lack`` of 1 - Dice. A gain or loss is the change of the Dice times the change of its logarithm. The first gain is
    huge, because the Dice starts at 1e-8; this is the code's behaviour.
    """

    dice: Tensor
    learn: Tensor
    unlearn: Tensor
    lack: Tensor

    def __init__(self, classes: int, steps: int, exponent: float) -> None:
        super().__init__()
        self.new_weight, self.exponent = 1 / steps, exponent
        self.register_buffer("dice", torch.full((classes,), EPSILON))
        self.register_buffer("learn", torch.zeros(classes))
        self.register_buffer("unlearn", torch.zeros(classes))
        self.register_buffer("lack", torch.ones(classes))

    def observe(self, dice: Tensor) -> None:
        """Add the Dice of each class ``[k]`` of one more step; none may be 0, which ``hard_dice`` guarantees."""
        change, growth = dice - self.dice, (dice / self.dice).log()
        self.learn = self.learn.lerp(change.clamp(min=0) * growth, self.new_weight)
        self.unlearn = self.unlearn.lerp(change.clamp(max=0) * growth, self.new_weight)
        self.lack = self.lack.lerp(1 - dice, self.new_weight)
        self.dice = dice

    def weights(self) -> Tensor:
        """(unlearn / learn)^exponent times lack, ``[k]``; all 1 before the first step."""
        return ((self.unlearn + EPSILON) / (self.learn + EPSILON)) ** self.exponent * self.lack


def sampling_rate(confidence: Tensor, gamma: float, floor: float = 0.0) -> Tensor:
    """((1 - c) / max(1 - c))^gamma of confidences c ``[k]``: 1 for the worst class, at least ``floor`` for organs."""
    missing = 1 - confidence
    rate = (missing / (missing.max() + 1e-12)) ** gamma
    return torch.cat([rate[:1], rate[1:].clamp(min=floor)])


def sampling_mask(predicted: Tensor, rate: Tensor, uniform: Tensor) -> Tensor:
    """Sampled voxels, bool ``[b z y x]``: those whose random number exceeds 1 - rate of their predicted class.

    predicted: class ids ``[b z y x]``; rate: ``[k]``; uniform: random numbers in [0, 1), one map for all classes
    ``[1 b z y x]``, or one for each class ``[k b z y x]`` as in the official code. Both have the same distribution.
    """
    own = uniform.expand(len(rate), *predicted.shape).gather(0, predicted.unsqueeze(0)).squeeze(0)
    return own > (1 - rate)[predicted]
