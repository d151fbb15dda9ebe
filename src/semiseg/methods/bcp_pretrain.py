"""Pre-training of BCP (Bai et al., CVPR 2023): mixes of two labelled crops, without unlabelled ones.

A cuboid of one labelled crop is pasted into another; the label of the mix is mixed alike. ``bcp`` starts from the
weights. Follows DeepMed-Lab-ECNU/BCP: code/LA_BCP_train.py pre_train, and code/pancreas/train_pancreas.py.
Departures: that code keeps the weights that are best on the test list; here the last ones are kept.
"""

from collections.abc import Mapping
from typing import Any

import torch

from semiseg.method import Batch, Context, Hyper, Terms, TrainingTime
from semiseg.methods.parts.bcp_mixing import (
    check_ratio,
    cuboid_mask,
    halves,
    mixed,
    region_cross_entropy,
    region_dice,
)
from semiseg.methods.parts.bcp_student import BCPStudent


class BCPPretraining(BCPStudent):
    """L = (CE + L_dice) / 2 of the mixes a M + b (1 - M); a and b are the halves of the labelled crops of a step.

    M is 1 but in a cuboid, the same one for all pairs of a step. The Dice is that of each crop and class, background
    included. The supervised loss is the method's own, not the protocol's.
    """

    labelled_only = True

    ratio = Hyper(
        0.6666666666666666, "side of the cuboid over that of the crop, 2/3", "DeepMed-Lab-ECNU/BCP: --mask_ratio"
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        check_ratio(type(self).__name__, self.ratio)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Cross-entropy and Dice of the mixes."""
        mask = cuboid_mask(batch.images.shape[2:], self.ratio, batch.images.device)
        labels = mixed(*halves(batch.labels), mask)
        logits = self.student(mixed(*halves(batch.images), mask))
        everywhere = torch.ones_like(mask)
        return {
            "ce": region_cross_entropy(logits, labels, everywhere),
            "dice": region_dice(logits, labels, everywhere),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """A half for each."""
        return {"ce": 0.5, "dice": 0.5}
