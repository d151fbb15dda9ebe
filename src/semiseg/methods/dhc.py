"""Dual-debiased Heterogeneous Co-training (Wang and Li, MICCAI 2023, arXiv 2307.11960).

Cross Pseudo Supervision by two networks that weight the classes differently. A weights them by difficulty, measured by
its Dice on labelled crops (DiffDW). B weights them by how rarely it predicts them on unlabelled crops (DistDW). Each
network uses its own weights in its supervised and cross term; both are updated before the losses of a step.
Follows xmed-lab/DHC: code/train_dhc.py: both networks start from kaiming, because their weights make them differ. The
Dice term is not divided by the sum of weights, which are as large as K. B hardly uses the background, whose weight
tends to 0.
Departures from the code: a term is 0, not 0/0, where the weights of all its voxels are 0. Weights are 1, not 0/0, where
all counts are equal. The supervised loss is the method's own, not the protocol's. With the 3D U-Net this is ours
(unverified) as well, because the code of those rows is not published.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.class_weights import Difficulty, hard_dice, knowledge_weights, update_knowledge_weights
from semiseg.blocks.losses import ce_dice_organs, cross_entropy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime

CODE = "xmed-lab/DHC: code/train_dhc.py"


class DHC(Method):
    """L = L_sup(A; w_A) + L_sup(B; w_B) + w r(t) [CE(A, argmax B; w_A) + CE(B, argmax A; w_B)]."""

    networks = {"a": "kaiming", "b": "kaiming"}
    inference_networks = ("a", "b")
    a: nn.Module
    b: nn.Module
    distribution_weights: Tensor

    weight = Hyper(0.1, "weight w of the cross terms, times the protocol's ramp", "xmed-lab/DHC: README, -w")
    momentum = Hyper(0.99, "fraction of the weights of B that a step keeps", f"{CODE} DistDW")
    accumulate = Hyper(
        50, "steps T over which changes of the Dice of A are averaged", f"{CODE} DiffDW accumulate_iters"
    )
    exponent = Hyper(0.2, "power of unlearning over learning in the weights of A", f"{CODE} DiffDW: 1/5")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.accumulate < 1:
            raise UserError(f"DHC.accumulate must be 1 or more steps; found {self.accumulate}")
        self.difficulty = Difficulty(context.classes, self.accumulate, self.exponent)
        self.register_buffer(
            "distribution_weights", context.classes * knowledge_weights(context.labelled_voxels.sum(0).float())
        )

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Both supervised losses, then both cross terms over all rows."""
        images, count = batch.everything, len(batch.images)
        a, b = self.a(images), self.b(images)
        from_a, from_b = a.argmax(1), b.argmax(1)
        weights_a = self.update_difficulty(from_a[:count], batch.labels)
        weights_b = self.update_distribution(from_b[count:])
        return {
            "supervised_a": ce_dice_organs(a[:count], batch.labels, weights_a),
            "supervised_b": ce_dice_organs(b[:count], batch.labels, weights_b),
            "cross_a": cross_entropy(a, from_b, weights_a),
            "cross_b": cross_entropy(b, from_a, weights_b),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t) for both cross terms."""
        return dict.fromkeys(("cross_a", "cross_b"), self.weight * time.ramp)

    def update_difficulty(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """DiffDW ``[k]`` after one more step of labelled predictions of A, ``[b z y x]``; the largest weight is K."""
        self.difficulty.observe(hard_dice(predicted, labels, self.context.classes))
        return self.difficulty_weights()

    def difficulty_weights(self) -> Tensor:
        """Current DiffDW ``[k]``: K times the difficulties over the largest one; all are K before the first step."""
        difficulty = self.difficulty.weights()
        return self.context.classes * difficulty / difficulty.max()

    def update_distribution(self, predicted: Tensor) -> Tensor:
        """DistDW ``[k]`` after one more step of unlabelled predictions of B, ``[u z y x]``."""
        counts = class_counts(predicted, self.context.classes).sum(0)
        self.distribution_weights = update_knowledge_weights(self.distribution_weights, counts, self.momentum)
        return self.distribution_weights
