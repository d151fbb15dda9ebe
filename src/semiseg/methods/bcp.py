"""Bidirectional copy-paste (BCP, Bai et al., CVPR 2023, arXiv 2305.00673).

Every training crop is a mix: a cuboid of an unlabelled crop is pasted into a labelled one, and the other way round. The
target is the truth on one side, and on the other side the teacher's prediction, of which the largest component is kept.
Student and teacher start from the weights of ``bcp_pretrain``; the student predicts.
Follows DeepMed-Lab-ECNU/BCP: code/LA_BCP_train.py self_train; with ``partners: crossed``, 18 ``neighbours`` and a
network with instance norm code/pancreas/train_pancreas.py. As there, the teacher is in training mode, and its moving
average leaves out the buffers. The ramp of the code is computed there and never used.
code/pancreas goes on with the moments of Adam (``training.keep_optimiser`` of the pre-training's protocol).
Ours: with more than two classes pseudo labels are the arg-max. Where the number of crops is odd, the one in the middle
belongs to both halves.
"""

from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks import ema
from semiseg.blocks.components import largest_component
from semiseg.method import Batch, Context, Hyper, Terms, TrainingTime
from semiseg.methods.parts.bcp_mixing import check_ratio, cuboid_mask, halves, mix_loss, mixed
from semiseg.methods.parts.bcp_student import BCPStudent

CODE = "DeepMed-Lab-ECNU/BCP: code/LA_BCP_train.py"


class BCP(BCPStudent):
    """L = mix(a M + u (1 - M); 1, w) + mix(v M + b (1 - M); w, 1), by ``mix_loss`` of ``parts/bcp_mixing.py``.

    a, b: halves of the labelled crops; u, v: halves of the unlabelled ones, exchanged where ``partners`` is crossed. M
    is 1 but in a cuboid. The weight of labelled regions is 1, that of unlabelled ones is w.
    """

    teachers = {"teacher": "student"}
    teacher_start = "copy"
    requires = ("equal_halves", "pretrained")
    teacher: nn.Module

    weight = Hyper(0.5, "weight w of unlabelled regions", f"{CODE} --u_weight")
    ratio = Hyper(0.6666666666666666, "side of the cuboid over that of the crop, 2/3", f"{CODE} --mask_ratio")
    ema_decay = Hyper(0.99, "weight of the teacher's own past", f"{CODE} update_ema_variables")
    threshold = Hyper(0.5, "least probability of foreground, with two classes", f"{CODE} get_cut_mask")
    neighbours = Hyper(
        26,
        "voxels that touch one, where the largest component is sought",
        f"{CODE} LargestCC_pancreas: 26; code/pancreas/pancreas_utils.py: 18",
        (6, 18, 26),
    )
    partners = Hyper(
        "aligned",
        "whether the first labelled half is mixed with the first unlabelled half, or with the second one",
        f"{CODE}: aligned; code/pancreas/train_pancreas.py: crossed",
        ("aligned", "crossed"),
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        check_ratio(type(self).__name__, self.ratio)

    @torch.no_grad()
    def pseudo_labels(self, unlabelled: Tensor) -> tuple[Tensor, Tensor]:
        """Labels ``[h z y x]`` of the halves of unlabelled crops, which go through the teacher one after the other."""
        logits = torch.cat([self.teacher(half) for half in halves(unlabelled)])
        scores = logits.float().softmax(1)
        labels = (scores[:, 1] >= self.threshold).long() if scores.shape[1] == 2 else scores.argmax(1)
        first, second = largest_component(self.context.refine(labels, scores), self.neighbours).chunk(2)
        return first, second

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """The losses of the mixes with a labelled and with an unlabelled outside."""
        (a, b), (u, v) = halves(batch.images), halves(batch.unlabelled)
        (label_a, label_b), (label_u, label_v) = halves(batch.labels), self.pseudo_labels(batch.unlabelled)
        if self.partners == "crossed":
            u, v, label_u, label_v = v, u, label_v, label_u
        mask = cuboid_mask(a.shape[2:], self.ratio, a.device)
        labelled, unlabelled = self.student(mixed(a, u, mask)), self.student(mixed(v, b, mask))
        return {
            "labelled": mix_loss(labelled, label_a, label_u, mask, 1.0, self.weight),
            "unlabelled": mix_loss(unlabelled, label_v, label_b, mask, self.weight, 1.0),
        }

    def after_step(self, time: TrainingTime) -> None:
        """Average the student's parameters into the teacher."""
        ema.update(self.teacher, self.student, self.ema_decay)
