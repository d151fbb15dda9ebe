"""MagicNet (Chen et al., CVPR 2023, arXiv 2212.14310): crops cut into cubes, exchanged, located and put back.

A mean teacher with three additions. Cross-image: cubes are exchanged between the items of the batch, and their
embeddings are put back. Within-image: cubes pass through the network one by one and are put back. A side task predicts
the place of each cube. Pseudo labels are a blend of the teacher's logits with those of single cubes; the more frequent
the teacher's class, the larger is the weight of the cubes.
Follows DeepMed-Lab-ECNU/MagicNet: code/train_main_btcv.py, also where it departs from the paper: within-image cubes are
put back in another order than they were cut (``cube_order``); the cells of the exchange are counted on the second axis.
Departures from the code: the cube logits are those of the unlabelled items for any numbers of labelled and unlabelled
items. The cubes are not shuffled before the location head, because neither its batch norm nor the mean depends on their
order. A network with dropout draws it anew for the cube logits. Before the first count of classes the blend is the
teacher's alone, not 0/0.
Ours (unverified): backbones other than ``vnet_magic``. The supervised loss is the method's own, not the protocol's.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks import ema
from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import cross_entropy, dice_squared_all
from semiseg.blocks.perturbations import noisy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import magicnet_cubes
from semiseg.network import Backbone
from semiseg.networks.heads.location import LocationHead

CODE = "DeepMed-Lab-ECNU/MagicNet: code/train_main_btcv.py"


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over all classes of the squared Dice loss with s = 1e-10, of ``[b k z y x]`` and ``[b z y x]``."""
    return dice_squared_all(logits.float().softmax(1), labels, smooth=1e-10)


def supervised_loss(logits: Tensor, cross: Tensor, within: Tensor, labels: Tensor) -> Tensor:
    """[CE + Dice + Dice of the cross-image and within-image logits] / 4, of labelled items."""
    return (cross_entropy(logits, labels) + sum(dice_loss(each, labels) for each in (logits, cross, within))) / 4


def location_loss(scores: Tensor, places: Tensor) -> Tensor:
    """Mean CE over the n cubes of all items, of scores ``[b n p]``; places: class of each cube ``[n]``."""
    return cross_entropy(scores.flatten(0, 1), places.repeat(len(scores)))


class MagicNet(Method):
    """L = L_sup + 0.1 L_loc + w r(t) L_con."""

    networks = {"student": "default"}
    teachers = {"teacher": "student"}
    inference_networks = ("student",)
    requires = ("cubes:cube_size",)
    student: Backbone
    teacher: nn.Module
    stored: Tensor
    counts: Tensor

    cube_size = Hyper(32, "side of the cubes in voxels, a multiple of 16 from 32 on", f"{CODE} --cube_size")
    positions = Hyper(32, "most cubes of a crop, the outputs of the location head", "ours: those of 64 x 128 x 128")
    cube_order = Hyper(
        "official",
        "order in which cubes are put back; aligned: where they were cut",
        "cube_losses.py",
        magicnet_cubes.ORDERS,
    )
    weight = Hyper(0.1, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    location_weight = Hyper(0.1, "weight of the location loss", f"{CODE} train, a constant")
    ema_decay = Hyper(0.99, "largest weight of the teacher's own past", f"{CODE} --ema_decay")
    blend_after = Hyper(100, "last iteration whose pseudo labels are the teacher's alone", f"{CODE} train")
    refresh = Hyper(20, "iterations from one count of pseudo-label classes to the next", f"{CODE} train")
    temperature = Hyper(1.0, "T of the class frequencies counts^(1/T)", f"{CODE} --T_dist")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.location_head = LocationHead(self.student.widths[-1], self.cube_size, self.student.divisor, self.positions)
        self.register_buffer(
            "stored", torch.zeros(context.classes)
        )  # class counts of pseudo labels since the last refresh
        self.register_buffer("counts", torch.zeros(context.classes))  # class counts before the last refresh

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised, location and consistency loss. Raises UserError for a crop that ``check`` refuses."""
        images, count = batch.everything, len(batch.images)
        magicnet_cubes.check(images.shape[2:], self.cube_size)
        grid = magicnet_cubes.grid(images.shape[2:], self.cube_size)
        logits = self.student(images)
        sources = magicnet_cubes.partition(torch.rand(len(images), *[grid[1]] * 3, device=images.device))
        mixed = self.student.features(magicnet_cubes.exchange(images, sources))[-1]
        cross = self.student.head(magicnet_cubes.exchange(mixed, sources.argsort(0)))
        maps = [self.student.encode(item) for item in magicnet_cubes.split(images, self.cube_size)]
        scores = torch.stack([self.location_head(each[-1]) for each in maps])
        within = self._put_back(maps[:count], grid)
        # This pass comes last: autocast caches weights that are cast without gradient, and a later pass of the student
        # would use them and receive no gradient.
        target = self._pseudo_labels(batch.unlabelled, maps[count:], grid, time)
        return {
            "supervised": supervised_loss(logits[:count], cross[:count], within, batch.labels),
            "location": location_loss(scores, magicnet_cubes.positions(grid, images.device)),
            "consistency": dice_loss(cross[count:], target),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The constant weight of the location loss, and the ramped weight w r(t)."""
        return {"location": self.location_weight, "consistency": self.weight * time.ramp}

    def after_step(self, time: TrainingTime) -> None:
        """Average the student into the teacher; every ``refresh`` iterations replace the class counts."""
        ema.update(self.teacher, self.student, ema.warm_alpha(time.iteration, self.ema_decay))
        if time.iteration % self.refresh == 0:
            self.counts, self.stored = self.stored, torch.zeros_like(self.stored)

    def _put_back(self, maps: list[list[Tensor]], grid: magicnet_cubes.Grid) -> Tensor:
        """Logits ``[i k z y x]`` of embeddings that are decoded from the cubes of one item at a time, then put back."""
        embeddings = torch.stack([self.student.decode(each)[-1] for each in maps])
        logits: Tensor = self.student.head(magicnet_cubes.merge(embeddings, grid, self.cube_order))
        return logits

    @torch.no_grad()
    def _pseudo_labels(
        self, unlabelled: Tensor, maps: list[list[Tensor]], grid: magicnet_cubes.Grid, time: TrainingTime
    ) -> Tensor:
        """Pseudo labels ``[u z y x]``: the teacher's, later blended with the cubes'; their classes are counted."""
        logits = self.teacher(noisy(unlabelled))
        if time.iteration > self.blend_after:
            logits = magicnet_cubes.blend(
                logits, self._put_back(maps, grid), magicnet_cubes.frequencies(self.counts, self.temperature)
            )
        labels: Tensor = logits.argmax(1)
        self.stored = self.stored + class_counts(labels, self.context.classes).sum(0)
        return labels
