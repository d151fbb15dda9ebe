"""Dual-task consistency (Luo et al., AAAI 2021).

A second head regresses the signed distance to the organ's surface. A steep sigmoid turns distances into a mask, which
must agree with the segmentation on every voxel, labelled or not.
Follows HiLab-git/DTC: code/train_la_dtc.py: no gradient is stopped; the cross-entropy is computed there but not used.
Ours: the form for many classes (``semiseg.methods.parts.two_heads``); the consistency is the mean over organs as well.
The official test script keeps the largest component; a protocol does so with ``inference.largest_component``.
"""

from collections.abc import Mapping

from torch import Tensor

from semiseg.method import Batch, Hyper, Terms, TrainingTime
from semiseg.methods.parts.two_heads import TwoHeads

CODE = "HiLab-git/DTC: code/train_la_dtc.py"


def mask_of(distances: Tensor, steepness: float) -> Tensor:
    """sigmoid(-k T) in float32, near 1 where the signed distance T is negative (inside), any shape."""
    return (-steepness * distances.float()).sigmoid()


class DTC(TwoHeads):
    """L = L_sup + beta L_sdf + w r(t) L_con."""

    weight = Hyper(1.0, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    beta = Hyper(0.3, "weight of the distance regression", f"{CODE} --beta")
    steepness = Hyper(1500.0, "k of the sigmoid: its gradient is above 0 only where |T| is below about 0.005", CODE)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss and distance error on the labelled rows, consistency of the two heads on all rows."""
        terms, logits, distances = self.supervised_terms(batch)
        organs = logits.softmax(1)[:, 1:]
        return {**terms, "consistency": (mask_of(distances, self.steepness) - organs).square().mean()}

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """beta, and the ramped weight w r(t)."""
        return {"distance": self.beta, "consistency": self.weight * time.ramp}
