"""U2PL: using unreliable pseudo labels (Wang et al., CVPR 2022, arXiv 2203.03884), carried to volumes.

A mean teacher's reliable pseudo labels supervise by cross-entropy, its unreliable voxels are negatives of a class-wise
contrast. Follows Haochen-Wang409/U2PL (train_semi.py, u2pl/utils/loss_helper.py), two faults included:
- ``negatives: official`` keeps a voxel as a negative of class c only if the first teacher pass calls it c and the
  second (dropout on, crops mixed) ranks c low. Where both passes agree the memory stays empty and the method is a
  filtered mean teacher: look whether ``contrast`` is 0 in the history, and say which option made a number.
- ``class_index: official`` mixes up memories, and skips the last classes, when a crop lacks a class.
Departures from the code: percentiles follow iterations, not epochs; in the supervised epoch the teacher is the student,
running statistics included, so that it always predicts, and is not reset in the next one; L_sup is the protocol's;
``low_rank`` is at most K - 1, or three classes would never give a negative.
Ours (unverified), as the official task is 2D: vectors of a pointwise head on the last decoder map after dropout, at
full size; prototypes of at most ``prototype_voxels`` voxels; CutMix boxes in the last two axes' plane, full depth.
Cost: full memories of 14 classes are 450 MB on the device and in the state file; they grow from nothing. The host has
to learn numbers of voxels and the teacher's clock: it waits for the GPU in each step.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from semiseg.blocks import ema, voxels
from semiseg.blocks.memory import MemoryBank
from semiseg.blocks.perturbations import cutmix
from semiseg.blocks.reliability import entropy, pseudo_loss, remaining
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import u2pl_contrast as unreliable
from semiseg.network import Backbone
from semiseg.networks.heads.pointwise import PointwiseHead

CONFIG = "Haochen-Wang409/U2PL: experiments/pascal/1464/ours/config.yaml"
CODE = "Haochen-Wang409/U2PL: train_semi.py"
HELPER = "Haochen-Wang409/U2PL: u2pl/utils/loss_helper.py"


class U2PL(Method):
    """L = L_sup + w_u L_u + w_c L_c; L_sup alone in the first epoch."""

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    inference_networks = ("teacher",)
    student: Backbone
    teacher: Backbone
    averaged: Tensor

    weight = Hyper(1.0, "weight w_u of the pseudo labels", CONFIG)
    contrast_weight = Hyper(0.1, "weight w_c of the contrast", "the author in tracker issue 52; 1 in the code")
    supervised_epochs = Hyper(1, "epochs without unlabelled crops", f"{CONFIG} sup_only_epoch")
    mix_probability = Hyper(0.5, "probability that a step mixes its unlabelled crops", CODE)
    drop_percent = Hyper(80.0, "percentile of entropy below which pseudo labels teach, rising to 100", CONFIG)
    low_entropy = Hyper(20.0, "percentage of voxels of lowest, and of highest entropy, falling to 0", CONFIG)
    low_rank = Hyper(3, "first rank of a class of which an unlabelled voxel is a negative", CONFIG)
    high_rank = Hyper(20, "the rank after the last such rank", CONFIG)
    anchor_probability = Hyper(0.3, "probability that anchors exceed", f"{CONFIG} current_class_threshold")
    key_probability = Hyper(1.0, "probability that negatives stay below", f"{CONFIG} current_class_negative_threshold")
    anchors = Hyper(256, "anchors Q per class", f"{CONFIG} num_queries")
    keys_per_anchor = Hyper(50, "negatives N per anchor", f"{CONFIG} num_negatives")
    temperature = Hyper(0.5, "temperature of the contrast", CONFIG)
    negatives = Hyper("official", "which voxels become negatives", HELPER, ("official", "paper"))
    class_index = Hyper("official", "which memory a class meets", HELPER, ("official", "fixed"))
    dimension = Hyper(256, "channels of a vector", CODE)
    bank_size = Hyper(30000, "vectors that the memory keeps of an organ", f"{CODE} queue_size")
    background_bank_size = Hyper(50000, "vectors that the memory keeps of the background", f"{CODE} queue_size")
    prototype_voxels = Hyper(4096, "most voxels of a class that make its prototype", "ours: the code takes all")
    ema_decay = Hyper(0.99, "largest share that the teacher keeps", CONFIG)

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.teacher.load_state_dict(self.student.state_dict())
        self.projection = PointwiseHead(self.student.widths[0], self.dimension)
        self.teacher_projection = deepcopy(self.projection).requires_grad_(False)
        self.bank = MemoryBank([self.background_bank_size] + [self.bank_size] * (context.classes - 1), self.dimension)
        self.register_buffer("averaged", torch.zeros((), dtype=torch.long))  # steps since the supervised epoch

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss; CE with the teacher's reliable labels and contrast, which are 0 in the supervised epoch."""
        labels, count = batch.labels, len(batch.labels)
        if time.epoch < self.supervised_epochs:
            supervised = self.context.supervised(self.student(batch.images), labels)
            return {"supervised": supervised} | dict.fromkeys(("pseudo", "contrast"), supervised.new_zeros(()))
        self.teacher.eval()
        with torch.no_grad():
            mixed, guess = batch.unlabelled, self.teacher(batch.unlabelled).argmax(1)
        self.teacher.train()
        if torch.rand(()) < self.mix_probability:
            mixed, guess = cutmix(mixed, guess)
        images = torch.cat([batch.images, mixed])
        feature = self.student.features(images)[-1]
        labelled, unlabelled = self.student.head(feature).tensor_split([count])
        with torch.no_grad():
            slow = self.teacher.features(images)[-1]
            probabilities = self.teacher.head(slow).float().softmax(1)
        uncertainty = entropy(probabilities[count:])
        seen = unreliable.see(labels, guess, probabilities, uncertainty, remaining(self.low_entropy, time))
        drop = 100 - remaining(100 - self.drop_percent, time)
        rules = unreliable.Rules(*(getattr(self, name) for name in unreliable.Rules._fields))
        return {
            "supervised": self.context.supervised(labelled, labels),
            "pseudo": pseudo_loss(unlabelled, guess, uncertainty, drop),
            "contrast": unreliable.contrast(
                lambda places: self.projection(voxels.gather(feature, places)),
                lambda places: self.teacher_projection(voxels.gather(slow, places)),
                *(seen, self.bank, rules),
            ),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Constant weights w_u and w_c."""
        return {"pseudo": self.weight, "contrast": self.contrast_weight}

    def after_step(self, time: TrainingTime) -> None:
        """Teacher := student in the supervised epoch; then it follows, t counted from there."""
        alone = time.epoch < self.supervised_epochs
        alpha = 0.0 if alone else ema.warm_alpha(int(self.averaged), self.ema_decay)
        for slow, fast in ((self.teacher, self.student), (self.teacher_projection, self.projection)):
            (ema.follow if alone else ema.update)(slow, fast, alpha)
        self.averaged += not alone
