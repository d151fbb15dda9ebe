"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017, arXiv 1703.01780) for 3D segmentation.

Follows HiLab-git/SSL4MIS: code/train_mean_teacher_3D.py. The teacher starts from its own random weights and stays in
training mode.
Departure from the paper, as in that code: the STUDENT predicts. ``predict_with: teacher`` is the paper's choice.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from semiseg.blocks import ema
from semiseg.blocks.consistency import consistency
from semiseg.blocks.perturbations import noisy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime


class MeanTeacher(Method):
    """L = L_sup + w r(t) L_con."""

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    student: nn.Module
    teacher: nn.Module

    weight = Hyper(0.1, "weight w of the consistency, times the protocol's ramp", "HiLab-git/SSL4MIS: --consistency")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", "HiLab-git/SSL4MIS: --ema_decay")
    ema_clock = Hyper(
        "iteration",
        "what t counts in min(1 - 1/(t+1), ema_decay)",
        "HiLab-git/SSL4MIS: train_mean_teacher_3D.py; xmed-lab/DHC counts epochs",
        ("iteration", "epoch"),
    )
    predict_with = Hyper(
        "student",
        "the network that predicts",
        "HiLab-git/SSL4MIS: train_mean_teacher_3D.py saves the student; the paper reports the teacher",
        ("student", "teacher"),
    )

    lag = Hyper(
        1,
        "steps by which the learning rate is late where the protocol counts iterations",
        "HiLab-git/SSL4MIS: train_mean_teacher_3D.py sets the rate after the step; 0 is the paper's",
        (0, 1),
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.inference_networks = (self.predict_with,)

    @property
    def rate_lag(self) -> int:
        """The hyperparameter ``lag``."""
        return self.lag

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss on the labelled rows, consistency with the noised teacher on the unlabelled ones."""
        logits = self.student(batch.everything)
        labelled, unlabelled = logits.tensor_split([len(batch.images)])
        with torch.no_grad():
            target = self.teacher(noisy(batch.unlabelled))
        return {
            "supervised": self.context.supervised(labelled, batch.labels),
            "consistency": consistency(unlabelled, target),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t)."""
        return {"consistency": self.weight * time.ramp}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher; t is read before its increment."""
        alpha = ema.warm_alpha(getattr(time, self.ema_clock), self.ema_decay)
        ema.update(self.teacher, self.student, alpha)
