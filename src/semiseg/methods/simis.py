"""SimiS (Chen et al., arXiv 2022) as class weights in Cross Pseudo Supervision.

In the paper the labelled data are supplemented with pseudo labels, by how far each class is behind the commonest one.
Follows xmed-lab/DHC: code/train_simis.py, which turns this distance into class weights of each network, from its own
predictions on ALL crops, labelled ones too. The weights start near K. The Dice term is not divided by their sum, so
that it is about K times as strong as in CPS.
Departure from the code: a term is 0, not 0/0, where the weights of all its voxels are 0.
"""

from torch import Tensor

from semiseg.methods.parts.co_training import CountedCoTraining, View

EPSILON = 1e-8


def gap(counts: Tensor) -> Tensor:
    """max P - P_k, ``[k]``, with the shares P of voxel counts ``[k]``; 0 for the commonest class."""
    shares = (counts + EPSILON) / (counts.sum() + EPSILON)
    return shares.max() - shares


class SimiS(CountedCoTraining):
    """L = L_sup(A; v_A) + L_sup(B; v_B) + w r(t) [CE(A, argmax B; v_A) + CE(B, argmax A; v_B)]; v averages of K gap."""

    def raw(self, counts: Tensor) -> Tensor:
        """K times the gap, ``[k]``."""
        return len(counts) * gap(counts)

    def start(self, counts: Tensor) -> Tensor:
        """The moving average after one step from K for every class, ``[k]``."""
        return self.momentum * len(counts) + (1 - self.momentum) * self.raw(counts)

    def counted(self, view: View) -> Tensor:
        """Predictions of all rows."""
        return view.predicted
