"""Base of crln: a network with an interaction module, its teacher, and the correction of the teacher by the map M.

Follows Yaan-Wang/CRLN: VnetLA/train_semisup.py.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.modes import evaluation_mode
from semiseg.method import SGD, Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.crln_network import InteractingNetwork, Predictor, rectifier
from semiseg.methods.parts.crln_strong_view import View
from semiseg.network import Backbone

CODE = "Yaan-Wang/CRLN: VnetLA/train_semisup.py"
PAPER = "MedIA 2025"
CORRECTION = "predictor.correct"


class Rectified(Method):
    """A student, its moving average, and the rule that corrects it: p + (1 - mu) M, or another one.

    The rule is trained apart from the networks, by descent on L_sup of the student's corrected prediction of the
    labelled crops, after each step. Its optimiser is the method's own, and its rate follows the protocol's schedule.
    The code averages the teacher before this step and here after it, which changes nothing: neither reads the other.
    """

    inference_networks = ("predictor",)
    requires = ("window_is_patch:interaction", "scaled_intensities:brightness")

    brightness = Hyper(True, "whether crops have a random brightness", f"{CODE}: LA, BraTS; not Pancreas")
    prototypes = Hyper(16, "prototypes R of a class, and channels of the representation", f"{CODE}: LA")
    interaction = Hyper(True, "whether there are prototypes and a map M", f"{CODE}; {PAPER}, Table 5")
    aggregation = Hyper(
        "sa_ci_cr",
        "how scores of prototypes become a map: sums (none), spatial, with integration, with shared weights",
        f"{CODE}; {PAPER}, Table 6",
        ("none", "sa", "sa_ci", "sa_ci_cr"),
    )
    correction = Hyper(
        "learned",
        "what corrects the teacher: p + (1 - mu) M, M where it is more certain, a convolution of both, or nothing",
        f"{CODE}; {PAPER}, Table 7",
        ("learned", "exchange", "convolution", "none"),
    )
    certain = Hyper(0.97, "confidence of a certain voxel, and probability below which it may be an anchor", CODE)
    start = Hyper(3, "S, the last epoch from 0 on without corrected pseudo labels", f"{CODE}: epoch > 3")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", CODE)
    rate = Hyper(0.0025, "learning rate of the correction before the schedule", f"{CODE}: as that of the network")
    momentum = Hyper(0.9, "Nesterov momentum of the correction", CODE)
    weight_decay = Hyper(0.0005, "weight decay of the correction", CODE)

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if not self.interaction and self.correction != "none":
            raise UserError("CRLN.interaction false leaves no map that could correct: set correction to none")
        self.student = InteractingNetwork(
            cast(Backbone, context.network("kaiming", context.classes)),
            context.classes,
            self.prototypes,
            context.patch,
            self.aggregation,
            represents=self.represents,
            interacts=self.interaction,
        )
        correct = rectifier(self.correction, context.classes, self.certain)
        self.predictor = Predictor(deepcopy(self.student), correct)
        self.seen: Batch | None = None  # of this step, for ``adversary_losses``

    @property
    def represents(self) -> bool:
        """Whether the network has a head for representations."""
        return True

    def is_corrected(self, time: TrainingTime) -> bool:
        """Whether pseudo labels are corrected yet."""
        return time.epoch > self.start

    @torch.no_grad()
    def pseudo_labels(self, images: Tensor, time: TrainingTime) -> View:
        """Labels and confidences of the teacher, which stays in training mode and moves its running statistics."""
        found = self.predictor.teacher(images, represent=True, interact=self.is_corrected(time))
        logits = self.predictor.corrected(found).float()
        return View(images, self.context.refine(logits.argmax(1), logits), logits.softmax(1).amax(1))

    def adversaries(self) -> Mapping[str, SGD]:
        """The correction, if it has something to train."""
        if self.correction not in ("learned", "convolution"):
            return {}
        return {CORRECTION: SGD(self.rate, self.momentum, self.weight_decay, nesterov=self.momentum > 0)}

    def adversary_rates(self, time: TrainingTime, scheduled: float) -> Mapping[str, float]:
        """The correction's rate falls as that of the networks."""
        return dict.fromkeys(self.adversaries(), scheduled)

    def adversary_losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """L_sup of the corrected prediction of the student in evaluation mode, on the crops that ``losses`` saw."""
        assert self.seen is not None
        with evaluation_mode(self.student), torch.no_grad():
            found = self.student(self.seen.images, represent=False, interact=True)
        return {"correction": self.context.supervised(self.predictor.corrected(found), batch.labels)}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher."""
        ema.update(self.predictor.teacher, self.student, ema.warm_alpha(time.iteration, self.ema_decay))
