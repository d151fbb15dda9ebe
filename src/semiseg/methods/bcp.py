"""BCP: bidirectional copy-paste (Bai et al., CVPR 2023, arXiv 2305.00673).

Every crop that the student sees is a mix: a cuboid of an unlabelled crop lies in a labelled one, and the other way
round. The label of a mix is the truth on one side and the teacher's pseudo label on the other, of which the largest
connected component stays. In the first steps, the pre-training, two labelled crops are mixed.
Follows DeepMed-Lab-ECNU/BCP: code/LA_BCP_train.py and code/pancreas/train_pancreas.py, which differ in the unlabelled
half that lies in a labelled crop (``inside``) and in the neighbours of a voxel (``neighbours``). The teacher is in
training mode: dropout and the statistics of each half. The supervised loss is the method's own, not the protocol's.
Departures: both stages are one training, whose teacher becomes a copy of the student after the pre-training. The LA
code goes on from the best weights of the pre-training with momenta of zero and counts the steps of its rate anew, which
needs a run of its own; with ``pretrain_steps`` 0 the method is its second stage.
Ours (unverified): more than two classes, each with its own largest component.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.sample_dice import dice_per_sample
from semiseg.method import Batch, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import bcp_mix

CODE = "DeepMed-Lab-ECNU/BCP: code/LA_BCP_train.py"
PANCREAS = "code/pancreas/train_pancreas.py"


class BCP(Method):
    """L = L_mix(a outside, u inside) + L_mix(u' outside, b inside); first (CE + Dice)/2 of a mix of a and b.

    a, b: halves of the labelled crops; u, u': halves of the unlabelled ones. L_mix weighs voxels with pseudo labels by
    ``unlabelled_weight``.
    """

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    teacher_start = "copy"
    inference_networks = ("student",)
    requires = ("equal_halves",)
    student: nn.Module
    teacher: nn.Module

    pretrain_steps = Hyper(
        0,
        "first steps, which mix labelled crops alone; with 0 the training is the second stage",
        f"{CODE}: 2000 in a run of their own; {PANCREAS}: 60 epochs",
    )
    unlabelled_weight = Hyper(0.5, "weight of voxels with pseudo labels", f"{CODE} --u_weight")
    mask_ratio = Hyper(0.6666666666666666, "side of the cuboid, as a fraction of the crop's", f"{CODE} --mask_ratio")
    threshold = Hyper(0.5, "least probability of a pseudo label", f"{CODE} get_cut_mask")
    neighbours = Hyper(26, "neighbours of a voxel in a component", f"{CODE}: 26; {PANCREAS}: 18", (18, 26))
    inside = Hyper(
        "first",
        "half of the unlabelled crops whose cuboid lies in labelled crops; the other half has cuboids of labelled ones",
        f"{CODE}: first; {PANCREAS}: second",
        ("first", "second"),
    )
    ema_decay = Hyper(0.99, "weight of the teacher's own past", f"{CODE} --ema_decay")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """The losses of both mixes, after CE and Dice if there is a pre-training; those of the other stage are 0."""
        images, labels = (self.halves(each) for each in (batch.images, batch.labels))
        mask = bcp_mix.region(batch.images.shape[2:], self.mask_ratio).to(batch.images.device)
        names = ("cross_entropy", "dice", "labelled", "unlabelled") if self.pretrain_steps else ()
        terms = {name: torch.zeros((), device=mask.device) for name in names}
        if time.iteration < self.pretrain_steps:
            logits, target = self.student(bcp_mix.mixed(*images, mask)), bcp_mix.mixed(*labels, mask)
            dice = dice_per_sample(logits.float().softmax(1), target)
            return {**terms, "cross_entropy": cross_entropy(logits, target), "dice": dice}
        others = self.halves(batch.unlabelled)
        pseudo = [self.pseudo_labels(each) for each in others]
        within, without = (0, 1) if self.inside == "first" else (1, 0)
        known, unknown = 1.0, self.unlabelled_weight
        first = self.student(bcp_mix.mixed(images[0], others[within], mask))
        second = self.student(bcp_mix.mixed(others[without], images[1], mask))
        return {
            **terms,
            "labelled": bcp_mix.mix_loss(first, labels[0], pseudo[within], mask, (known, unknown)),
            "unlabelled": bcp_mix.mix_loss(second, pseudo[without], labels[1], mask, (unknown, known)),
        }

    def halves(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Both halves of the crops; a single one is its own partner. Raises UserError for another odd number."""
        if len(crops) == 1:
            return crops, crops
        if len(crops) % 2:
            raise UserError(
                f"BCP mixes crops by pairs and found {len(crops)} in a step: make training.batch even for both kinds"
            )
        first, second = crops.chunk(2)
        return first, second

    @torch.no_grad()
    def pseudo_labels(self, images: Tensor) -> Tensor:
        """The teacher's labels ``[u z y x]``, each organ with its largest component alone."""
        scores = self.teacher(images)
        found = bcp_mix.confident(scores, self.threshold)
        return self.context.refine(bcp_mix.largest_components(found, self.neighbours), scores)

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """1/2 for both terms of the pre-training."""
        return {"cross_entropy": 0.5, "dice": 0.5} if self.pretrain_steps else {}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher, which is a copy of it up to the end of the pre-training."""
        if time.iteration >= self.pretrain_steps:
            ema.update(self.teacher, self.student, self.ema_decay)
        elif time.iteration + 1 == self.pretrain_steps:
            self.teacher.load_state_dict(self.student.state_dict())
