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

from typing import Any

from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.class_weights import Difficulty, hard_dice, knowledge_weights, update_knowledge_weights
from semiseg.method import Context, Hyper, TrainingTime
from semiseg.methods.parts.co_training import View, WeightedCoTraining

CODE = "xmed-lab/DHC: code/train_dhc.py"


class DHC(WeightedCoTraining):
    """L = L_sup(A; w_A) + L_sup(B; w_B) + w r(t) [CE(A, argmax B; w_A) + CE(B, argmax A; w_B)]."""

    networks = {"a": "kaiming", "b": "kaiming"}
    distribution_weights: Tensor

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

    def observe(self, a: View, b: View, labels: Tensor, time: TrainingTime) -> None:
        """Update the weights of A by its labelled rows, and those of B by its unlabelled rows."""
        self.update_difficulty(a.predicted[: a.labelled], labels)
        self.update_distribution(b.predicted[b.labelled :])

    def weights_of(self, network: str) -> Tensor:
        """DiffDW of A, DistDW of B, ``[k]``."""
        return self.difficulty_weights() if network == "a" else self.distribution_weights

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
