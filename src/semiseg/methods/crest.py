"""Class-rebalancing Self-training (Wei et al., CVPR 2021) as class weights in Cross Pseudo Supervision.

In the paper a training has generations. After each, samples with pseudo labels join the labelled set, at a rate that is
highest for the rarest classes.
Follows xmed-lab/DHC: code/train_crest.py, which has no generations and draws no samples. It turns the rates into class
weights of each network, from its own predictions on unlabelled crops. The weights are at most 1 and the Dice term is
not divided by their sum, so that it is weaker than in CPS.
Departure from the code: a term is 0, not 0/0, where the weights of all its voxels are 0.
"""

from torch import Tensor

from semiseg.methods.parts.co_training import CountedCoTraining

EPSILON = 1e-8


def reversed_rates(counts: Tensor) -> Tensor:
    """Rates ``[k]`` of voxel counts ``[k]``: mu = (n_k / max n)^(1/3), handed out in reverse order.

    The commonest class gets the mu of the rarest one, and so on; the rarest gets 1. Classes with equal mu keep their
    order. The rate of the commonest class is nearly 0 where a class has no voxel.
    """
    mu = ((counts + EPSILON) / (counts.max() + EPSILON)) ** (1 / 3)
    order = mu.argsort(descending=True, stable=True)
    return mu.new_empty(len(mu)).index_copy(0, order, mu[order.flip(0)])


class CReST(CountedCoTraining):
    """L = L_sup(A; v_A) + L_sup(B; v_B) + w r(t) [CE(A, argmax B; v_A) + CE(B, argmax A; v_B)]; v reversed rates."""

    def raw(self, counts: Tensor) -> Tensor:
        """Reversed rates ``[k]``."""
        return reversed_rates(counts)
