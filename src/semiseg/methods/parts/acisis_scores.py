"""Score of each class from three indicators on labelled crops, fused by ranks (acisis)."""

import torch
from torch import Tensor, nn

from semiseg.blocks.losses import SUMMED, one_hot

EPSILON = 1e-12


def indicators(logits: Tensor, labels: Tensor, *, per_item: bool = False) -> Tensor:
    """Entropy-like, confidence and variance of each class, ``[3 k]``; 0 for a class without a label.

    logits: ``[b k z y x]``; labels: ``[b z y x]``. They are (1/n) S p_c S_k ln p_k, (1/n) S p_c and (1/n) S (max p -
    p_c), where p are the probabilities, n is the number of voxels of class c in the batch, and S sums over the voxels
    that are labelled c.
    per_item: each item counts the voxels of its own labels. Otherwise it also counts those of the labels of every other
    item in the batch, as in xmed-lab/DHC: code/train_acisis.py, where the products spread over two batch axes.
    """
    probabilities, truth = logits.float().softmax(1), one_hot(labels, logits.shape[1])
    members = truth.float() if per_item else truth.sum(0, keepdim=True).float()
    logs = (probabilities + EPSILON).log().sum(1, keepdim=True)
    gaps = probabilities.amax(1, keepdim=True) - probabilities
    sums = [(each * members).sum(SUMMED) for each in (probabilities * logs, probabilities, gaps)]
    return torch.stack(sums) / (truth.sum(SUMMED) + EPSILON)


def fuzzy_ranks(rows: Tensor, top: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Ranks 1 - exp(-exp(-2 s)) ``[3 k]`` of rows s ``[3 k]``, and the s that count; both float64.

    Of each row the ``top`` smallest ranks count, and those that equal the last of them. The others have the rank
    ``penalty``, and their s is 0.
    """
    rows = rows.double()
    ranks = 1 - (-(-2 * rows).exp()).exp()
    counts = ranks <= ranks.sort(1).values[:, top - 1 : top]
    return torch.where(counts, ranks, penalty), torch.where(counts, rows, 0.0)


def fused(scores: Tensor) -> Tensor:
    """1 - the mean over the rows of the s that count, ``[k]``, of ``[3 k]``."""
    return 1 - scores.mean(0)


class ClassScores(nn.Module):
    """Moving average of the class scores: the buffer ``score`` ``[k]``, at first 0; 1 would be a class learnt well.

    Indicators are pooled until ``update`` is called.
    """

    score: Tensor
    pooled: Tensor
    recorded: Tensor

    def __init__(self, classes: int, top: int, penalty: float, momentum: float) -> None:
        super().__init__()
        self.top, self.penalty, self.momentum = top, penalty, momentum
        self.register_buffer("score", torch.zeros(classes))
        self.register_buffer("pooled", torch.zeros(3, classes))
        self.register_buffer("recorded", torch.zeros(()))

    @torch.no_grad()
    def record(self, logits: Tensor, labels: Tensor, *, per_item: bool) -> None:
        """Pool the indicators of one more step of labelled logits ``[b k z y x]`` and labels ``[b z y x]``."""
        self.pooled = self.pooled + indicators(logits, labels, per_item=per_item)
        self.recorded = self.recorded + 1

    def update(self) -> None:
        """Average the score of the pooled steps into ``score``, and begin a new pool."""
        ranks, scores = fuzzy_ranks((self.pooled / self.recorded).softmax(1), self.top, self.penalty)
        current = fused(scores) * ranks.sum(0)
        current = (current / current.max()).float()
        self.score = self.momentum * self.score + (1 - self.momentum) * current
        self.pooled, self.recorded = torch.zeros_like(self.pooled), torch.zeros_like(self.recorded)
