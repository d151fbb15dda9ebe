"""Losses that several methods share, each variant once.

In the formulas p are probabilities ``[b k z y x]``, y the one-hot truth of labels ``[b z y x]`` (class ids), and S the
sum over batch and voxels; logits are ``[b k z y x]``. All losses are computed in float32, also under autocast.

The Dice losses differ in their denominator and in the classes that count: ``dice_squared_...`` has S(p^2) + S(y^2),
``dice_linear_...`` has S(p) + S(y); ``_fg`` is the foreground of two classes, ``_all`` all classes, ``_organs`` all but
the background.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SUMMED = (0, 2, 3, 4)  # batch and space


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over all voxels; with class weights ``[k]`` S(w ce) / S(w), w the weight of a voxel's label.

    If S(w) is 0 the result is 0; torch's own weighted mean would be 0/0.
    """
    if weights is None:
        return F.cross_entropy(logits.float(), labels)
    weight = weights[labels].sum()
    return F.cross_entropy(logits.float(), labels, weights, reduction="sum") / torch.where(weight > 0, weight, 1)


def masked_cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """S(m w ce) over the number of ALL voxels, in the mask or not; m: mask ``[b z y x]``, w: weight of a voxel's label.

    Source: xmed-lab/DHC: code/utils/loss.py WeightedCrossEntropyLoss.
    """
    return (F.cross_entropy(logits.float(), labels, weights, reduction="none") * mask).mean()


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """One-hot labels, bool ``[b k z y x]``."""
    ids = torch.arange(classes, device=labels.device).view(-1, 1, 1, 1)
    return labels.unsqueeze(1) == ids


def dice_squared_fg(probabilities: Tensor, labels: Tensor, smooth: float = 1e-5) -> Tensor:
    """1 - (2 S(py) + s) / (S(p^2) + S(y^2) + s) of channel 1 (yulequan/UA-MT: code/utils/losses.py dice_loss)."""
    foreground, truth = probabilities[:, 1].float(), labels == 1
    overlap, sizes = (foreground * truth).sum(), foreground.square().sum() + truth.sum()
    return 1 - (2 * overlap + smooth) / (sizes + smooth)


def dice_squared_all(probabilities: Tensor, labels: Tensor, smooth: float = 1e-5) -> Tensor:
    """Mean of ``dice_squared_per_class`` over ALL classes; the loss of an absent class is about 1.

    Source: HiLab-git/SSL4MIS: code/utils/losses.py DiceLoss, also in kimjisoo12/GuidedNet.
    """
    return dice_squared_per_class(probabilities, labels, smooth).mean()


def dice_squared_per_class(probabilities: Tensor, labels: Tensor, smooth: float) -> Tensor:
    """Loss 1 - (2 S(py) + s) / (S(p^2) + S(y^2) + s) of each class, ``[k]``."""
    probabilities = probabilities.float()
    truth = one_hot(labels, probabilities.shape[1])
    overlap = (probabilities * truth).sum(SUMMED)
    sizes = probabilities.square().sum(SUMMED) + truth.sum(SUMMED)
    return 1 - (2 * overlap + smooth) / (sizes + smooth)


def dice_squared_organs(probabilities: Tensor, labels: Tensor, smooth: float = 1e-5) -> Tensor:
    """Sum of ``dice_squared_per_class`` over the organs, divided by K.

    Source: taovv/UGPCL: codes/losses/losses.py DiceLoss_, which divides by the number of classes with background.
    """
    return dice_squared_per_class(probabilities, labels, smooth)[1:].sum() / probabilities.shape[1]


def dice_linear_per_class(probabilities: Tensor, target: Tensor, smooth: float) -> Tensor:
    """Soft Dice, NOT a loss, of each class, ``[k]``: (2 S(pq) + s) / (S(p) + S(q) + s + 1e-8).

    target: q, ``[b k z y x]``, one-hot labels or probabilities. Source: xmed-lab/DHC: code/utils/loss.py SoftDiceLoss.
    """
    probabilities = probabilities.float()
    overlap = (probabilities * target).sum(SUMMED)
    sizes = probabilities.sum(SUMMED) + target.sum(SUMMED)
    return (2 * overlap + smooth) / (sizes + smooth + 1e-8)


def dice_linear_per_organ(probabilities: Tensor, labels: Tensor, smooth: float) -> Tensor:
    """``dice_linear_per_class`` of the organs, ``[k-1]``; with one-hot p it is that code's validation Dice."""
    return dice_linear_per_class(probabilities, one_hot(labels, probabilities.shape[1]), smooth)[1:]


def dice_linear_all(probabilities: Tensor, target: Tensor, smooth: float = 1e-8) -> Tensor:
    """MINUS the mean of ``dice_linear_per_class`` over ALL classes, in [-1, 0] (xmed-lab/DHC: code/train_ssnet.py)."""
    return -dice_linear_per_class(probabilities, target, smooth).mean()


def dice_linear_pooled(probabilities: Tensor, target: Tensor, smooth: float = 1e-8) -> Tensor:
    """1 - (2 S(pq) + s) / (S(p) + S(q) + s), where S sums over the classes too; q is ``target``, of p's shape.

    Source: ycwu1997/SS-Net: code/utils/losses.py.
    """
    probabilities, target = probabilities.float(), target.float()
    return 1 - (2 * (probabilities * target).sum() + smooth) / (probabilities.sum() + target.sum() + smooth)


def dice_linear_fg(probabilities: Tensor, labels: Tensor) -> Tensor:
    """``dice_linear_pooled`` of channel 1 alone (ycwu1997/SS-Net: code/utils/losses.py Binary_dice_loss)."""
    return dice_linear_pooled(probabilities[:, 1], labels == 1)


def dice_linear_organs(probabilities: Tensor, labels: Tensor, smooth: float, weights: Tensor | None = None) -> Tensor:
    """MINUS the mean of ``dice_linear_per_organ``, in [-1, 0]; class weights ``[k]`` multiply each organ's Dice."""
    dice = dice_linear_per_organ(probabilities, labels, smooth)
    return -(dice if weights is None else dice * weights[1:]).mean()


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy in nats, ``[b 1 z y x]``: minus the sum over classes of p ln(p + 1e-6) (yulequan/UA-MT)."""
    return -(probabilities * (probabilities + 1e-6).log()).sum(1, keepdim=True)


@torch.no_grad()
def confident_labels(logits: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Pseudo labels ``[b z y x]`` of logits ``[b k z y x]``, and whether their probability is at least ``cutoff``.

    In FixMatch (Sohn et al., NeurIPS 2020) they come from weak views and are the targets of the strong views.
    """
    probability, labels = logits.float().softmax(1).max(1)
    return labels, probability >= cutoff


def half_ce_dice_fg(logits: Tensor, labels: Tensor) -> Tensor:
    """0.5 (CE + dice_squared_fg): the LA tables (yulequan/UA-MT: code/train_LA.py)."""
    return 0.5 * (cross_entropy(logits, labels) + dice_squared_fg(logits.float().softmax(1), labels))


def half_ce_dice_all(logits: Tensor, labels: Tensor) -> Tensor:
    """0.5 (CE + dice_squared_all): HiLab-git/SSL4MIS and kimjisoo12/GuidedNet."""
    return 0.5 * (cross_entropy(logits, labels) + dice_squared_all(logits.float().softmax(1), labels))


def ce_dice_organs(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """CE + dice_linear_organs with s = 1, both with the class weights ``[k]`` if given; the sum may be negative.

    Source: xmed-lab/DHC: code/utils/loss.py DC_and_CE_loss. The CE divides by the sum of weights, the Dice does not.
    """
    dice = dice_linear_organs(logits.float().softmax(1), labels, smooth=1.0, weights=weights)
    return cross_entropy(logits, labels, weights) + dice


def half_ce_dice_organs(logits: Tensor, labels: Tensor) -> Tensor:
    """0.5 (CE + dice_linear_organs) with s = 1e-8: the single-network ports of xmed-lab/DHC (code/train_uamt.py)."""
    return 0.5 * (cross_entropy(logits, labels) + dice_linear_organs(logits.float().softmax(1), labels, smooth=1e-8))


SUPERVISED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "half_ce_dice_fg": half_ce_dice_fg,
    "half_ce_dice_all": half_ce_dice_all,
    "ce_dice_organs": ce_dice_organs,
    "half_ce_dice_organs": half_ce_dice_organs,
}
SUPERVISED_FORMS = ("protocol", *SUPERVISED)  # what a method can be given where its own script has its own loss


def supervised_form(name: str, protocol: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The supervised loss of a name of ``SUPERVISED_FORMS``; ``protocol`` is the protocol's loss."""
    return protocol if name == "protocol" else SUPERVISED[name]
