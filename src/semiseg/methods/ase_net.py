"""ASE-Net: adversarial self-ensembling with dynamic convolutions (Lei et al., IEEE TMI 42(5), 2023).

Discriminator 1 separates the student's predictions on labelled crops from those on unlabelled ones. Discriminator 2
separates the teacher's predictions on clean unlabelled crops from the student's on noisy ones. The student must pass
for the real side of both, and agree with itself and with the teacher under noise.
Follows SUST-reynole/ASE-Net: code/train_ASE-Net_3D.py, whose step trains the discriminators first, on the student
without dropout. That script stops at its first step and has two defects, which ``as_released`` keeps: its Dice reads
predictions without gradient, and its consistency is a softmax over one channel, which is always 1. By default the Dice
has its gradient, and the consistency that of two classes.
Departures: targets follow the numbers of labelled and unlabelled rows, where the code writes 1 and 1. The teacher stays
in training mode, where the code's first test would end that.
The network is the protocol's: the training script has vnet, the test script vnet_dy. Ours: more than two classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks import adversary, ema
from semiseg.blocks.losses import cross_entropy, dice_squared_per_class
from semiseg.blocks.modes import evaluation_mode
from semiseg.blocks.perturbations import noisy
from semiseg.method import Adam, Batch, Context, Hyper, Terms, TrainingTime
from semiseg.methods.parts.one_logit import OneLogit
from semiseg.networks.heads.dynamic_discriminator import DynamicDiscriminator

CODE = "SUST-reynole/ASE-Net: code/train_ASE-Net_3D.py"
SMOOTH = 1e-5


def three_way(clean: Tensor, disturbed: Tensor, teacher: Tensor) -> Tensor:
    """Mean of [(a - t)^2 + (b - t)^2 + (a - b)^2] / 3 of the softmaxes of logits ``[u k z y x]``."""
    a, b, t = (logits.float().softmax(1) for logits in (clean, disturbed, teacher))
    return ((a - t).square() + (b - t).square() + (a - b).square()).mean() / 3


class ASENet(OneLogit):
    """L = (L_CE + L_Dice) / 2 + w r(t) [(L_adv1 + L_adv2) / 2 + L_3]; discriminators have L_D1 and L_D2."""

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    adversaries_first = True
    student: nn.Module
    teacher: nn.Module

    weight = Hyper(1.0, "weight w of all unsupervised terms, times the protocol's ramp", f"{CODE} consistency")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", f"{CODE} ema_decay")
    discriminator_lr = Hyper(1e-3, "constant Adam rate of the discriminators", CODE)
    discriminator_beta1 = Hyper(0.9, "decay of the mean gradient of the discriminators' Adam", CODE)
    discriminator_beta2 = Hyper(0.99, "decay of the mean squared gradient of the discriminators' Adam", CODE)
    discriminator_eps = Hyper(1e-8, "number in the denominator of the discriminators' Adam", f"{CODE}: torch's default")
    as_released = Hyper(False, "Dice and consistency without gradient, as the script has them", f"{CODE}: a defect")
    predict_with = Hyper("student", "the network that predicts", f"{CODE} saves both", ("student", "teacher"))

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.inference_networks = (self.predict_with,)
        self.first, self.second = (DynamicDiscriminator(context.classes - 1) for _ in range(2))
        self.drawn: tuple[Tensor, Tensor] | None = None

    @property
    def logged_only(self) -> frozenset[str]:
        """The terms that have no gradient in the script."""
        return frozenset({"dice", "consistency"} if self.as_released else ())

    def disturbed(self, batch: Batch) -> Tensor:
        """The noisy unlabelled crops, the same for both parts of a step."""
        if self.drawn is None or self.drawn[0] is not batch.unlabelled:
            self.drawn = batch.unlabelled, noisy(batch.unlabelled)
        return self.drawn[1]

    def maps(self, logits: Tensor) -> Tensor:
        """Class probabilities ``[b k z y x]`` of a network's output; discriminators receive those of the organs."""
        return self.class_logits(logits).softmax(1)

    def without_dropout(self, images: Tensor) -> Tensor:
        """Class probabilities by the student in evaluation mode, without gradient."""
        with evaluation_mode(self.student), torch.no_grad():
            return self.maps(self.student(images))

    def adversaries(self) -> Mapping[str, Adam]:
        """Both discriminators."""
        betas = self.discriminator_beta1, self.discriminator_beta2
        return dict.fromkeys(("first", "second"), Adam(self.discriminator_lr, betas, self.discriminator_eps))

    def adversary_losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """L_D1 and L_D2; each discriminator receives the real side first, in a pass of its own."""
        known, others = self.without_dropout(batch.everything)[:, 1:].tensor_split([len(batch.images)])
        false = self.without_dropout(self.disturbed(batch))[:, 1:]
        with torch.no_grad():
            true = self.maps(self.teacher(batch.unlabelled))[:, 1:]
        first = [(known, batch.images), (others, batch.unlabelled)]
        second = [(true, batch.unlabelled), (false, batch.unlabelled)]
        return {"discriminator_1": separation(self.first, first), "discriminator_2": separation(self.second, second)}

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised losses of the labelled rows; adversarial losses and consistency of the unlabelled ones."""
        images, count, released = batch.everything, len(batch.images), self.as_released
        silent = self.without_dropout(images) if released else None
        outputs, disturbed = self.student(images), self.student(self.disturbed(batch))
        with torch.no_grad():
            target = self.teacher(self.disturbed(batch))
        logits, compared = self.class_logits(outputs), (outputs[count:], disturbed, target)
        first, second = (self.maps(each)[:, 1:] for each in compared[:2])
        scores = logits.softmax(1) if silent is None else silent
        return {
            "cross_entropy": cross_entropy(logits[:count], batch.labels),
            "dice": dice_squared_per_class(scores[:count], batch.labels, SMOOTH)[1:].mean(),
            "adversarial_1": adversary.adversarial_loss(self.first, first, batch.unlabelled),
            "adversarial_2": adversary.adversarial_loss(self.second, second, batch.unlabelled),
            "consistency": three_way(*(each if released else self.class_logits(each) for each in compared)),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Halves of the supervised losses; the ramped weight w r(t), of which an adversarial loss takes half."""
        ramped = self.weight * time.ramp
        halves = {"cross_entropy": 0.5, "dice": 0.5, "adversarial_1": ramped / 2, "adversarial_2": ramped / 2}
        return {**halves, "consistency": ramped}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher; t is read before its increment."""
        ema.update(self.teacher, self.student, ema.warm_alpha(time.iteration, self.ema_decay))


def separation(discriminator: nn.Module, sides: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Half the sum of the CE of maps and images of the real side against 1, and of the other side against 0."""
    (real, real_images), (false, false_images) = sides
    of_real = adversary.discriminator_loss(discriminator, real, real_images, len(real))
    return (of_real + adversary.discriminator_loss(discriminator, false, false_images, 0)) / 2
