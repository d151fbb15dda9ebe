"""Cross Pseudo Supervision (Chen et al., CVPR 2021, arXiv 2106.01226) for 3D segmentation.

Two networks that differ in their initialisation receive the same crops; each is trained with the other's hard labels.
Departures from the paper, as in xmed-lab/DHC: code/train_cps.py, HiLab-git/SSL4MIS:
code/train_cross_pseudo_supervision_3D.py and kimjisoo12/GuidedNet (extras off): the supervised loss is the protocol's
(CE and Dice), and the weight is 0.1 with a ramp.
"""

from collections.abc import Mapping

from torch import Tensor

from semiseg.blocks.losses import cross_entropy
from semiseg.method import Hyper, Terms, TrainingTime
from semiseg.methods.parts.co_training import CoTraining, View


class CPS(CoTraining):
    """L = L_sup(A) + L_sup(B) + w r(t) L_cps, where L_cps = CE(A, argmax B) + CE(B, argmax A)."""

    cross_rows = Hyper(
        "all",
        "rows of the batch that the cross term uses",
        "xmed-lab/DHC, kimjisoo12/GuidedNet: all; HiLab-git/SSL4MIS: unlabelled",
        ("all", "unlabelled"),
    )

    def terms(self, a: View, b: View, labels: Tensor) -> Terms:
        """Both supervised losses, then the cross term of both networks together."""
        terms = super().terms(a, b, labels)
        terms["cross"] = terms.pop("cross_a") + terms.pop("cross_b")
        return terms

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t)."""
        return {"cross": self.weight * time.ramp}

    def cross(self, own: View, other: View) -> Tensor:
        """CE of a network over the chosen rows."""
        first = 0 if self.cross_rows == "all" else own.labelled
        return cross_entropy(own.logits[first:], other.target[first:])
