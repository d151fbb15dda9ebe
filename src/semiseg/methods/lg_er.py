"""LG-ER-MT: local and global structure-aware entropy regularised mean teacher (Hang et al., MICCAI 2020).

Student and teacher must agree on three things: probabilities, the similarities of voxels in small cubes (local
structure), and maps of self-information (global structure). The student's entropy on unlabelled crops is minimised.
Follows fengweie/LG-ER-MT: code/train_LA_mt_ce_alldata_struct.py. The teacher sees noisy crops in training mode. All
terms but the entropy use labelled crops too. The supervised loss is the method's own, 0.5 (CE + Dice).
Departures: the similarities of all pairs of voxels are summed without a matrix of pairs, which gives the same number.
The cubes that a crop holds follow from its sides; the code has 7 x 7 x 5 of them, for crops of 112 x 112 x 80.
Ours (unverified): more than two classes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.consistency import consistency
from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.organ_dice import dice_squared_each
from semiseg.blocks.perturbations import noisy
from semiseg.method import Batch, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import lg_er_structure as structure

CODE = "fengweie/LG-ER-MT: code/train_LA_mt_ce_alldata_struct.py"
PLACES = (2, 2, 1)  # of the cubes of a step along each axis


class LGER(Method):
    """L = (CE + Dice)/2 + r(t) [w L_con + w_local L_local + w_global L_global + w_ent H].

    L_con: half the mean squared difference of the probabilities; H: entropy of the unlabelled rows, in [0, 1].
    """

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    inference_networks = ("student",)
    student: nn.Module
    teacher: nn.Module

    weight = Hyper(0.1, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    local_weight = Hyper(0.01, "weight of the local structure, times the protocol's ramp", CODE)
    global_weight = Hyper(0.01, "weight of the global structure, times the protocol's ramp", CODE)
    entropy_weight = Hyper(0.01, "weight of the entropy, times the protocol's ramp", CODE)
    block = Hyper(16, "side in voxels of the cubes whose voxels are compared", f"{CODE}, four cubes a step")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", f"{CODE} --ema_decay")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised terms on the labelled rows, entropy on the unlabelled ones, and the others on all rows."""
        images, count = batch.everything, len(batch.images)
        logits = self.student(images)
        with torch.no_grad():
            target = self.teacher(noisy(images))
        student, teacher = logits.float().softmax(1), target.float().softmax(1)
        return {
            "cross_entropy": cross_entropy(logits[:count], batch.labels),
            "dice": dice_squared_each(student[:count], batch.labels),
            "consistency": consistency(logits, target) / 2,
            "local": structure.local_structure(student, teacher, self.cubes(images)),
            "global": structure.global_difference(student, teacher),
            "entropy": structure.entropy(student[count:]),
        }

    def cubes(self, images: Tensor) -> list[structure.Box]:
        """The random cubes of this step. Raises UserError for crops that hold none."""
        sides = images.shape[2:]
        if self.block < 1 or min(sides) < self.block:
            raise UserError(
                f"LGER.block must be between 1 and the shortest side of a crop, {min(sides)}; found {self.block}"
            )
        places = [structure.chosen(most, side // self.block) for most, side in zip(PLACES, sides, strict=True)]
        return structure.boxes(places, self.block)

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """1/2 for both supervised terms, and the ramped weights of the others."""
        ramped = {
            "consistency": self.weight,
            "local": self.local_weight,
            "global": self.global_weight,
            "entropy": self.entropy_weight,
        }
        return {"cross_entropy": 0.5, "dice": 0.5, **{name: time.ramp * weight for name, weight in ramped.items()}}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher; t is read before its increment."""
        ema.update(self.teacher, self.student, ema.warm_alpha(time.iteration, self.ema_decay))
