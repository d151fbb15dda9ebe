"""Uncertainty-guided pixel contrastive learning (Wang et al., IJCAI 2022), carried from 2D slices to 3D.

One encoder has two decoders, which must agree on unlabelled crops. Voxels of which both decoders are certain receive
pseudo labels, and their embeddings are contrasted with a memory of class means. A side task predicts by how many
quarter turns a crop was rotated, which keeps the encoder general.
Follows taovv/UGPCL: codes/trainers/ugpcl_trainer.py with the settings of its ACDC run, including its peculiarities: ln
2 in the threshold for any K, zero vectors for background in the memory, and one key per anchor that is masked as if it
were the anchor itself.
Departures from the code: a step without any anchor gives 0, not an error. The pixel queue, which is never used, is left
out.
Ours (unverified), because the official network is a 2D ResNet-50 with a Swin decoder: encoder and first decoder are the
protocol's backbone. The second decoder upsamples by transposed convolutions and has no dropout. Embeddings are those of
the map at 1/8. The rotation head is linear on the pooled deepest map. A crop is rotated in the plane of its last two
axes, by one angle for all slices; quarter turns and the small angle are one nearest-neighbour step. The supervised loss
is the method's own.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.blocks.consistency import consistency, threshold
from semiseg.blocks.losses import cross_entropy, dice_squared_organs
from semiseg.blocks.perturbations import rotated
from semiseg.blocks.ramps import sigmoid_rampup
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts import ugpcl_contrast
from semiseg.network import Backbone
from semiseg.networks.heads.embedding import EmbeddingHead
from semiseg.networks.heads.transposed_decoder import TransposedDecoder

CODE = "taovv/UGPCL: codes/trainers/ugpcl_trainer.py"
RUN = "taovv/UGPCL: ACDC run, overrides its config file"


def supervised_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """0.5 (CE + Dice of the organs over K), of ``[b k z y x]`` and ``[b z y x]``."""
    return 0.5 * (cross_entropy(logits, labels) + dice_squared_organs(logits.float().softmax(1), labels))


class UGPCL(Method):
    """L = L_sup(1) + 0.4 L_sup(2) + w r(t) L_con + 0.1 L_rot + 0.1 L_contrast."""

    networks = {"network": "kaiming"}
    inference_networks = ("network",)
    network: Backbone
    queue: Tensor
    slots: Tensor

    weight = Hyper(0.01, "weight w of the decoders' consistency, times its ramp r(t) over the whole training", RUN)
    ramp_every = Hyper(100, "iterations from one step of the ramp to the next", f"{CODE} train_step")
    second_weight = Hyper(0.4, "weight of the second decoder's supervised loss", f"{CODE} tf_decoder_weight")
    rotation_weight = Hyper(0.1, "weight of the rotation loss", f"{CODE} cls_weight")
    angle = Hyper(20.0, "largest rotation beyond quarter turns, in degrees", f"{CODE} _random_rotate")
    contrast_weight = Hyper(0.1, "weight of the contrastive loss", f"{CODE} contrast_weight")
    contrast_start = Hyper(1000, "last iteration without contrast and memory", f"{CODE} train_step")
    memory = Hyper(500, "vectors that the memory keeps of each class", RUN)
    dimension = Hyper(256, "channels of an embedding", f"{CODE} dim")
    temperature = Hyper(0.07, "temperature T of the contrast", RUN)
    base_temperature = Hyper(0.07, "the contrast is multiplied by T over this", f"{CODE} base_temperature")
    queue_background = Hyper(
        "zeros", "background of the memory: zero vectors, or drop", "pixel_contras_loss.py", ("zeros", "drop")
    )
    self_mask_queue = Hyper(
        True, "key i is no positive of anchor i, although it is another voxel", "pixel_contras_loss.py"
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        widths = self.network.widths
        self.second = TransposedDecoder(widths, context.classes)
        self.embedding = EmbeddingHead(widths[3], self.dimension)
        turns = nn.Linear(widths[4], 4)
        nn.init.kaiming_normal_(turns.weight)
        self.rotation = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), turns)
        self.register_buffer("queue", F.normalize(torch.randn(context.classes, self.memory, self.dimension), dim=2))
        self.register_buffer("slots", torch.zeros(context.classes, dtype=torch.long))

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised losses, consistency, rotation, contrast; the contrast is 0 up to iteration ``contrast_start``."""
        images, count = batch.everything, len(batch.images)
        turns = torch.randint(4, (len(images),), device=images.device)
        degrees = 90 * turns + self.angle * (2 * torch.rand(len(images), device=images.device) - 1)
        labels = rotated(batch.labels.unsqueeze(1).float(), degrees[:count]).squeeze(1).long()
        maps = self.network.encode(rotated(images, degrees))
        first, second = self.network.head(self.network.decode(maps)[-1]), self.second(maps)
        return {
            "supervised": supervised_loss(first[:count], labels),
            "supervised_second": supervised_loss(second[:count], labels),
            "consistency": consistency(first[count:], second[count:]),
            "rotation": cross_entropy(self.rotation(maps[4]), turns),
            "contrast": self._contrast(maps[3], first, second, labels, time),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Constant weights, and the ramped weight w r(t) of the consistency, whose ramp counts ``ramp_every`` steps."""
        ramp = sigmoid_rampup(time.iteration // self.ramp_every, time.iterations / self.ramp_every)
        return {
            "supervised_second": self.second_weight,
            "consistency": self.weight * ramp,
            "rotation": self.rotation_weight,
            "contrast": self.contrast_weight,
        }

    def _contrast(self, deep: Tensor, first: Tensor, second: Tensor, labels: Tensor, time: TrainingTime) -> Tensor:
        """Contrast of certain voxels with the memory, to which this step's class means are added afterwards."""
        if time.iteration <= self.contrast_start:
            return torch.zeros((), device=deep.device)
        embedding, count, classes = self.embedding(deep), len(labels), self.context.classes
        limit = threshold(time.iteration, time.iterations)
        known = torch.cat([labels, ugpcl_contrast.certain_labels(first[count:], second[count:], limit)])
        known, predicted = ugpcl_contrast.resized(known, embedding), ugpcl_contrast.resized(first.argmax(1), embedding)
        uniform = torch.rand(len(known), known[0].numel(), device=known.device)
        anchors = ugpcl_contrast.sample(embedding, known, predicted, classes, uniform)
        keys = ugpcl_contrast.keys(self.queue, self.queue_background)
        loss = ugpcl_contrast.contrast(anchors, keys, self.temperature, self.base_temperature, self.self_mask_queue)
        means, present = ugpcl_contrast.class_means(embedding.detach(), known, classes)
        self.queue, self.slots = ugpcl_contrast.enqueue(self.queue, self.slots, means, present)
        return loss
