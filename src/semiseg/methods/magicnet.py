"""MagicNet (Chen et al., CVPR 2023, arXiv 2212.14310): crops cut into cubes, exchanged, located and put back.

A mean teacher. Cubes are exchanged between the items of the batch and put back as embeddings (cross-image), or go
through the network one by one and are put back (within-image); a side task tells each cube's place; pseudo labels mix
the teacher's logits with those of single cubes, the more so the more frequent the teacher's class is.
Follows DeepMed-Lab-ECNU/MagicNet: code/train_main_btcv.py, also where it departs from the paper: within-image cubes are
put back in another order than they were cut (``cube_order``); cells of the exchange are counted on the second axis.
Departures from the code: the cube logits are those of the unlabelled items whatever the size of the halves; the random
order of the cubes before the location head is left out, as neither batch norm nor the mean sees it; a network with
dropout draws anew for the cube logits; before the first count the blend is the teacher's alone, not 0/0.
Backbones other than ``vnet_magic``: ours (unverified). The supervised loss is the method's own, not the protocol's.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks import ema
from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import cross_entropy, sq_all
from semiseg.blocks.perturbations import noisy
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import magicnet_cubes as cb
from semiseg.methods.parts.magicnet_cubes import blend, frequencies
from semiseg.network import Backbone
from semiseg.networks.heads.location import LocationHead

CODE = "DeepMed-Lab-ECNU/MagicNet: code/train_main_btcv.py"


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over all classes of the squared Dice loss with s = 1e-10, of ``[b k z y x]`` and ``[b z y x]``."""
    return sq_all(logits.float().softmax(1), labels, smooth=1e-10)


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
    cubes = "cube_size"
    student: Backbone
    teacher: nn.Module
    stored: Tensor
    counts: Tensor

    cube_size = Hyper(32, "side of the cubes in voxels, a multiple of 16 from 32 on", f"{CODE} --cube_size")
    positions = Hyper(32, "most cubes of a crop that the location head tells apart", "ours: those of 64 x 128 x 128")
    cube_order = Hyper("official", "how cubes are put back; aligned: where they were cut", "cube_losses.py", cb.ORDERS)
    weight = Hyper(0.1, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    location_weight = Hyper(0.1, "weight of the location loss", f"{CODE} train, a constant")
    ema_decay = Hyper(0.99, "largest share that the teacher keeps", f"{CODE} --ema_decay")
    blend_after = Hyper(100, "last iteration whose pseudo labels are the teacher's alone", f"{CODE} train")
    refresh = Hyper(20, "iterations from one count of pseudo-label classes to the next", f"{CODE} train")
    temperature = Hyper(1.0, "T of the class frequencies counts^(1/T)", f"{CODE} --T_dist")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.location_head = LocationHead(self.student.widths[-1], self.cube_size, self.student.divisor, self.positions)
        self.register_buffer("stored", torch.zeros(context.classes))  # pseudo labels since the last refresh
        self.register_buffer("counts", torch.zeros(context.classes))  # those before it

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised, location and consistency loss. Raises UserError where ``cubes.check`` refuses the crop."""
        images, count = batch.everything, len(batch.images)
        cb.check(images.shape[2:], self.cube_size)
        grid = cb.grid(images.shape[2:], self.cube_size)
        logits = self.student(images)
        sources = cb.partition(torch.rand(len(images), *[grid[1]] * 3, device=images.device))
        mixed = self.student.features(cb.exchange(images, sources))[-1]
        cross = self.student.head(cb.exchange(mixed, sources.argsort(0)))
        maps = [self.student.encode(item) for item in cb.split(images, self.cube_size)]
        scores = torch.stack([self.location_head(each[-1]) for each in maps])
        within = self._put_back(maps[:count], grid)
        # last, as autocast would lend weights cast without gradient to any later pass of the student
        target = self._pseudo_labels(batch.unlabelled, maps[count:], grid, time)
        return {
            "supervised": supervised_loss(logits[:count], cross[:count], within, batch.labels),
            "location": location_loss(scores, cb.positions(grid, images.device)),
            "consistency": dice_loss(cross[count:], target),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The constant weight of the location loss, the ramped weight w r(t)."""
        return {"location": self.location_weight, "consistency": self.weight * time.ramp}

    def after_step(self, time: TrainingTime) -> None:
        """Teacher follows student; every so often the stored classes become those that count."""
        ema.update(self.teacher, self.student, ema.warm_alpha(time.iteration, self.ema_decay))
        if time.iteration % self.refresh == 0:
            self.counts, self.stored = self.stored, torch.zeros_like(self.stored)

    def _put_back(self, maps: list[list[Tensor]], grid: cb.Grid) -> Tensor:
        """Logits ``[i k z y x]`` of items whose cubes are decoded one item at a time, then put back as embeddings."""
        embeddings = torch.stack([self.student.decode(each)[-1] for each in maps])
        logits: Tensor = self.student.head(cb.merge(embeddings, grid, self.cube_order))
        return logits

    @torch.no_grad()
    def _pseudo_labels(self, unlabelled: Tensor, maps: list[list[Tensor]], grid: cb.Grid, time: TrainingTime) -> Tensor:
        """Class ids ``[u z y x]``: the teacher's, later blended with those of the cubes; they are counted."""
        logits = self.teacher(noisy(unlabelled))
        if time.iteration > self.blend_after:
            logits = blend(logits, self._put_back(maps, grid), frequencies(self.counts, self.temperature))
        labels: Tensor = logits.argmax(1)
        self.stored = self.stored + class_counts(labels, self.context.classes).sum(0)
        return labels
