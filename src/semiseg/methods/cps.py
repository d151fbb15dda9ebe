"""Cross Pseudo Supervision (Chen et al., CVPR 2021, arXiv 2106.01226) for 3D segmentation.

Two networks that differ in their initialisation receive the same crops; each is trained with the other's hard labels.
Departures from the paper, as in xmed-lab/DHC: code/train_cps.py, HiLab-git/SSL4MIS:
code/train_cross_pseudo_supervision_3D.py and kimjisoo12/GuidedNet (extras off): the supervised loss is the protocol's
(CE and Dice), and the weight is 0.1 with a ramp.
"""

from collections.abc import Mapping

from torch import nn

from semiseg.blocks.consistency import cross_supervision
from semiseg.method import Batch, Hyper, Method, Terms, TrainingTime


class CPS(Method):
    """L = L_sup(A) + L_sup(B) + w r(t) L_cps."""

    networks = {"a": "kaiming", "b": "xavier"}
    inference_networks = ("a", "b")
    a: nn.Module
    b: nn.Module

    weight = Hyper(0.1, "weight w of the cross term, times the protocol's ramp", "xmed-lab/DHC: README, -w")
    cross_rows = Hyper(
        "all",
        "rows of the batch that the cross term uses",
        "xmed-lab/DHC, kimjisoo12/GuidedNet: all; HiLab-git/SSL4MIS: unlabelled",
        ("all", "unlabelled"),
    )

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Both supervised losses, then the cross term."""
        images, count = batch.everything, len(batch.images)
        a, b = self.a(images), self.b(images)
        first = 0 if self.cross_rows == "all" else count
        return {
            "supervised_a": self.context.supervised(a[:count], batch.labels),
            "supervised_b": self.context.supervised(b[:count], batch.labels),
            "cross": cross_supervision(a[first:], b[first:]),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t)."""
        return {"cross": self.weight * time.ramp}
