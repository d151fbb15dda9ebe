"""Base of crln: a network with an interaction module, its teacher, and the correction of the teacher by the map M.

Follows Yaan-Wang/CRLN: VnetLA/train_semisup.py.
"""

from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.modes import evaluation_mode
from semiseg.blocks.ramps import poly
from semiseg.method import Batch, Context, Hyper, TrainingTime
from semiseg.methods.parts.crln_network import InteractingNetwork, Predictor, rectifier
from semiseg.methods.parts.crln_strong_view import View
from semiseg.methods.parts.descent import Descent
from semiseg.methods.parts.unit_range import UnitRange
from semiseg.network import Backbone

CODE = "Yaan-Wang/CRLN: VnetLA/train_semisup.py"
PAPER = "MedIA 2025"


class Rectified(UnitRange):
    """A student, its moving average, and the rule that corrects it: p + (1 - mu) M, or another one.

    The rule is trained apart from the networks, by descent on L_sup of the student's corrected prediction of the
    labelled crops, after each step. Its optimiser is the method's own and has the rate of this class, not that of the
    protocol.
    """

    inference_networks = ("predictor",)
    requires = ("window_is_patch:interaction",)

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
    rate = Hyper(0.0025, "learning rate of the correction in epoch 0", f"{CODE}: as that of the network")
    power = Hyper(0.9, "power of the fall of this rate by epochs", f"{CODE} PolyLR")
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
        self.descent = Descent(correct, self.momentum, self.weight_decay)
        self.seen: Batch | None = None  # of this step, for ``after_step``

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

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher; then one step of the correction on the labelled crops."""
        ema.update(self.predictor.teacher, self.student, ema.warm_alpha(time.iteration, self.ema_decay))
        assert self.seen is not None
        if self.correction in ("learned", "convolution"):
            self.fit_correction(self.seen, poly(self.rate, time.epoch, time.epochs, self.power))

    def fit_correction(self, batch: Batch, rate: float) -> Tensor:
        """A step of descent on L_sup of the student's corrected prediction in evaluation mode; returns that loss."""
        with evaluation_mode(self.student), torch.no_grad():
            found = self.student(batch.images, represent=False, interact=True)
        return self.descent.step(
            self.predictor.correct,
            lambda: self.context.supervised(self.predictor.corrected(found), batch.labels),
            rate,
        )
