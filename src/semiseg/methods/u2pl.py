"""U2PL: using unreliable pseudo labels (Wang et al., CVPR 2022, arXiv 2203.03884), carried to volumes.

The reliable pseudo labels of a mean teacher supervise by cross-entropy; its unreliable voxels are negatives of a
class-wise contrast. Follows Haochen-Wang409/U2PL (train_semi.py, u2pl/utils/loss_helper.py), including two faults of
the contrast; a third one is an option:
- ``negatives: official`` keeps a voxel as a negative of class c only if the first teacher pass labels it c and the
  second pass (with dropout, on mixed crops) ranks c low. Where both passes agree the memory stays empty, and the method
  is a mean teacher with filtered labels. Look in the history whether ``contrast`` is 0, and name the option beside
  every result.
- ``class_index: official`` compares with the wrong memory, and skips the last classes, when a crop lacks a class.
- ``one_hot: released`` puts the labels of all items at the first item of each half, where a voxel then carries several
  classes. It made the numbers of the paper; the default ``per_image`` is what the paper describes.
Through the first epoch with unlabelled crops the teacher is the student, as in the code; the average shows afterwards.
Departures from the code: the teacher equals the student in the supervised epoch too, running statistics included, so
that it can always predict. L_sup is the protocol's. ``low_rank`` is at most K - 1, because otherwise three classes
would never give a negative.
Ours (unverified), because the official task is 2D: vectors come from a pointwise head on the last decoder map after
dropout, at full size. A prototype is made of at most ``prototype_voxels`` voxels. CutMix boxes lie in the plane of the
last two axes and go through the full depth.
Cost: full memories of 14 classes take 450 MB on the device and in the state file; they grow from nothing. In each step
the host reads numbers of voxels and the teacher's counter, so it waits for the GPU.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from semiseg.blocks import ema, voxels
from semiseg.blocks.memory import MemoryBank
from semiseg.blocks.reliability import entropy, falling, pseudo_loss, rising
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.u2pl_contrast import Rules, contrast
from semiseg.methods.parts.u2pl_teacher import feature_and_probabilities, mixed_pseudo_labels, split_by_entropy
from semiseg.network import Backbone
from semiseg.networks.heads.pointwise import PointwiseHead

CONFIG = "Haochen-Wang409/U2PL: experiments/pascal/1464/ours/config.yaml"
CODE = "Haochen-Wang409/U2PL: train_semi.py"


class U2PL(Method):
    """L = L_sup + w_u L_u + w_c L_c; L_sup alone in the first epoch."""

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    teacher_start = "copy"
    inference_networks = ("teacher",)
    student: Backbone
    teacher: Backbone
    averaged: Tensor

    weight = Hyper(1.0, "weight w_u of the pseudo labels", CONFIG)
    contrast_weight = Hyper(0.1, "weight w_c of the contrast", "the author in tracker issue 52; 1 in the code")
    supervised_epochs = Hyper(1, "epochs without unlabelled crops", f"{CONFIG} sup_only_epoch")
    mix_probability = Hyper(0.5, "probability that a step mixes its unlabelled crops", CODE)
    drop_percent = Hyper(80.0, "percentile of entropy below which pseudo labels are used, rising to 100", CONFIG)
    low_entropy = Hyper(20.0, "percentage of voxels of lowest, and of highest entropy, falling to 0", CONFIG)
    low_rank = Hyper(3, "lowest rank of a class of which an unlabelled voxel is a negative", CONFIG)
    high_rank = Hyper(20, "the rank after the highest such rank", CONFIG)
    anchor_probability = Hyper(0.3, "probability that anchors exceed", f"{CONFIG} current_class_threshold")
    key_probability = Hyper(1.0, "probability that negatives stay below", f"{CONFIG} current_class_negative_threshold")
    anchors = Hyper(256, "anchors Q per class", f"{CONFIG} num_queries")
    keys_per_anchor = Hyper(50, "negatives N per anchor", f"{CONFIG} num_negatives")
    temperature = Hyper(0.5, "temperature of the contrast", CONFIG)
    negatives = Hyper("official", "which voxels become negatives", "u2pl/utils/loss_helper.py", ("official", "paper"))
    class_index = Hyper("official", "whose memory a class uses", "u2pl/utils/loss_helper.py", ("official", "fixed"))
    one_hot = Hyper("per_image", "whose labels an item carries", "u2pl/utils/utils.py", ("per_image", "released"))
    dimension = Hyper(256, "channels of a vector", CODE)
    bank_size = Hyper(30000, "vectors that the memory keeps of an organ", f"{CODE} queue_size")
    background_bank_size = Hyper(50000, "vectors that the memory keeps of the background", f"{CODE} queue_size")
    prototype_voxels = Hyper(4096, "most voxels of a class that make its prototype", "ours: the code takes all")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", CONFIG)

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.projection = PointwiseHead(self.student.widths[0], self.dimension)
        self.teacher_projection = deepcopy(self.projection).requires_grad_(False)
        self.bank = MemoryBank([self.background_bank_size] + [self.bank_size] * (context.classes - 1), self.dimension)
        self.rules = Rules(**{name: getattr(self, name) for name in Rules._fields})
        self.register_buffer("averaged", torch.zeros((), dtype=torch.long))  # steps since the supervised epoch

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss; CE with the teacher's reliable labels and contrast, which are 0 in the supervised epoch."""
        labels, count = batch.labels, len(batch.labels)
        if time.epoch < self.supervised_epochs:
            supervised = self.context.supervised(self.student(batch.images), labels)
            return {"supervised": supervised, "pseudo": supervised.new_zeros(()), "contrast": self._nothing()}
        if time.epoch == self.supervised_epochs:
            self._follow(0.0)
        mixed, pseudo = mixed_pseudo_labels(self.teacher, batch.unlabelled, self.mix_probability)
        images = torch.cat([batch.images, mixed])
        feature = self.student.features(images)[-1]
        labelled, unlabelled = self.student.head(feature).tensor_split([count])
        teacher_feature, probabilities = feature_and_probabilities(self.teacher, images)
        uncertainty = entropy(probabilities[count:])
        percent = falling(self.low_entropy, time)
        output = split_by_entropy(labels, pseudo, probabilities, uncertainty, percent, self.one_hot)
        student_vectors = partial(voxels.vectors, self.projection, feature)
        teacher_vectors = partial(voxels.vectors, self.teacher_projection, teacher_feature)
        return {
            "supervised": self.context.supervised(labelled, labels),
            "pseudo": pseudo_loss(unlabelled, pseudo, uncertainty, rising(self.drop_percent, time)),
            "contrast": contrast(student_vectors, teacher_vectors, output, self.bank, self.rules) + self._nothing(),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Constant weights w_u and w_c."""
        return {"pseudo": self.weight, "contrast": self.contrast_weight}

    def after_step(self, time: TrainingTime) -> None:
        """Copy the student into the teacher through the first epoch with unlabelled crops, then average.

        The factor's counter t begins with that epoch. Running statistics are copied in the supervised epoch alone.
        """
        if time.epoch < self.supervised_epochs:
            ema.update_with_buffers(self.teacher, self.student, 0.0)
        alpha = ema.warm_alpha(int(self.averaged), self.ema_decay)
        self._follow(alpha if time.epoch > self.supervised_epochs else 0.0)
        self.averaged += time.epoch >= self.supervised_epochs

    def _follow(self, alpha: float) -> None:
        ema.update(self.teacher, self.student, alpha)
        ema.update(self.teacher_projection, self.projection, alpha)

    def _nothing(self) -> Tensor:
        """A 0 with a gradient of 0, so that weight decay and momentum act on the projection without contrast too."""
        return 0 * torch.stack([weight.sum() for weight in self.projection.parameters()]).sum()
