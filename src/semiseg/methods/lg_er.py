"""LG-ER-MT: local and global structure-aware entropy regularised mean teacher (Hang et al., MICCAI 2020).

A mean teacher with three more terms: low entropy on unlabelled crops, equal similarities of the voxels of small blocks
(local structure), and equal maps of self-information (global structure). The entropy counts unlabelled rows, the other
terms the whole batch, labelled rows too.
Follows fengweie/LG-ER-MT: code/train_LA_mt_ce_alldata_struct.py. The teacher starts from its own random weights and
stays in training mode.
Departures: blocks are chosen among all that fit the crop, where the code writes 7, 7 and 5, those of 112x112x80; an
axis with fewer blocks than are wanted gives all it has. The similarities of M voxels are not written out as M x M
matrices, whose squared difference follows from the K x K products of the class vectors.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.consistency import consistency
from semiseg.blocks.perturbations import noisy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime

CODE = "fengweie/LG-ER-MT: code/train_LA_mt_ce_alldata_struct.py"
WANTED = (2, 2, 1)  # blocks along each axis of the crop; all combinations are taken


def self_information(probabilities: Tensor) -> Tensor:
    """-p log2(p + 1e-30) / log2 K elementwise, float32 ``[b k z y x]``: its sum over classes is in [0, 1]."""
    probabilities = probabilities.float()  # 1e-30 is 0 in float16
    return -probabilities * (probabilities + 1e-30).log2() / math.log2(probabilities.shape[1])


def mean_entropy(probabilities: Tensor) -> Tensor:
    """Mean over voxels of the entropy over log K, a scalar in [0, 1], of ``[b k z y x]``."""
    return self_information(probabilities).sum(1).mean()


def global_structure(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean squared difference of the self-information of probabilities ``[b k z y x]``."""
    return (self_information(student) - self_information(teacher)).square().mean() / 2


def unit_vectors(probabilities: Tensor) -> Tensor:
    """Class vectors over their length + 1e-8, float64 ``[b k v]``, of the probabilities ``[b k z y x]`` of a block."""
    vectors = probabilities.flatten(2).double()  # the three squares of ``similarity_loss`` cancel
    lengths: Tensor = vectors.norm(dim=1, keepdim=True)
    return vectors / (lengths + 1e-8)


def products(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the rows of ``[b n v]`` and ``[b m v]``, ``[b n m]``."""
    return a @ b.transpose(1, 2)


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """S (C_q - C_p)^2 / (M^2 b) of a block with M voxels; C: cosine similarity of all pairs of voxels, M x M.

    student, teacher: probabilities p and q, ``[b k z y x]``. For P ``[k v]`` with C_p = P^T P, and Q likewise, the sum
    is |Q Q^T|^2 + |P P^T|^2 - 2 |Q P^T|^2.
    """
    p, q = unit_vectors(student), unit_vectors(teacher)
    squares = [products(a, b).square().sum() for a, b in ((q, q), (p, p), (q, p))]
    return (squares[0] + squares[1] - 2 * squares[2]) / (p.shape[2] ** 2 * len(p))


def local_structure(student: Tensor, teacher: Tensor, chosen: Sequence[Sequence[int]], side: int) -> Tensor:
    """Mean ``similarity_loss`` of blocks; chosen: their indices along each axis, of which all combinations count."""
    found = []
    for corner in product(*chosen):
        z, y, x = (slice(side * index, side * (index + 1)) for index in corner)
        found.append(similarity_loss(student[..., z, y, x], teacher[..., z, y, x]))
    return torch.stack(found).mean().float()


class LGER(Method):
    """L = L_sup + r(t) [w_c L_mse / 2 + w_l L_local + w_g L_global + w_e L_entropy]."""

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    inference_networks = ("student",)
    student: nn.Module
    teacher: nn.Module

    consistency_weight = Hyper(0.1, "weight w_c of half the squared difference, times the ramp", f"{CODE} consistency")
    local_weight = Hyper(0.01, "weight w_l of the similarities in blocks, times the ramp", f"{CODE} pa")
    global_weight = Hyper(0.01, "weight w_g of the self-information, times the ramp", f"{CODE} global")
    entropy_weight = Hyper(0.01, "weight w_e of the entropy, times the ramp", f"{CODE} ent")
    block = Hyper(16, "side of a block in voxels", "fengweie/LG-ER-MT: utils/losses.py")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", f"{CODE} ema_decay")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if not 1 <= self.block <= min(context.patch):
            raise UserError(
                f"LGER.block must be from 1 voxel to the shortest side of the crop, {min(context.patch)};"
                f" found {self.block}"
            )

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss on the labelled rows, entropy on the unlabelled ones, three comparisons on all."""
        images, count = batch.everything, len(batch.images)
        logits = self.student(images)
        with torch.no_grad():
            target = self.teacher(noisy(images))
        student, teacher = logits.float().softmax(1), target.float().softmax(1)
        return {
            "supervised": self.context.supervised(logits[:count], batch.labels),
            "consistency": consistency(logits, target) / 2,
            "local": local_structure(student, teacher, self.chosen(images.shape[2:]), self.block),
            "global": global_structure(student, teacher),
            "entropy": mean_entropy(student[count:]),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The four weights, all with the same ramp."""
        return {
            "consistency": self.consistency_weight * time.ramp,
            "local": self.local_weight * time.ramp,
            "global": self.global_weight * time.ramp,
            "entropy": self.entropy_weight * time.ramp,
        }

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher; t is read before its increment."""
        ema.update(self.teacher, self.student, ema.warm_alpha(time.iteration, self.ema_decay))

    def chosen(self, sides: Sequence[int]) -> list[list[int]]:
        """Random indices of blocks along each axis, without repetition; the same for all crops and both networks."""
        return [torch.randperm(side // self.block)[:n].tolist() for side, n in zip(sides, WANTED, strict=True)]
