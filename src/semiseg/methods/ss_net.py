"""SS-Net: smoothness and class separation (Wu et al., MICCAI 2022, arXiv 2203.01324).

One network. Smoothness: a virtual adversary looks for the small change of the images that changes the prediction most,
and the network's prediction must withstand it (VAT, on all rows). Class separation: the vector of each voxel is pulled
towards a memory of its class, which is made of labelled voxels that are predicted correctly. Voxels and memory vectors
are weighted by small selector heads. The classes of unlabelled voxels are predictions, unfiltered.
Follows ycwu1997/SS-Net: code/train_ss_3d.py and xmed-lab/DHC: code/train_ssnet.py. Both compute a cross-entropy and do
not use it. Both keep the vectors of LOWEST score, where their comment says highest. In both the weights of memory
vectors are 1. The codes differ in the supervised Dice and in the distance of VAT, which ``supervised_dice`` and
``distance`` choose; the defaults are those of xmed-lab/DHC, which serve any number of classes. The supervised loss is
the method's own, not the protocol's.
Departures: the power iteration of VAT is in float32 under autocast too, where the port uses float16 without scaling.
The mean over the memory is taken before the distances to it; the values are equal but for rounding.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from semiseg.blocks.losses import dice_linear_all, dice_linear_fg, dice_linear_pooled, one_hot
from semiseg.blocks.modes import evaluation_mode
from semiseg.blocks.virtual_adversary import virtual_adversarial_loss
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.ss_net_contrast import ClassSeparation, head, head_names
from semiseg.network import Backbone, in_two, within

CODE = "ycwu1997/SS-Net: code/train_ss_3d.py"
PORT = "xmed-lab/DHC: code/train_ssnet.py"
DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "per_class": dice_linear_all,
    "pooled": dice_linear_pooled,
}


class SSNet(Method):
    """L = L_dice + w r(t) [L_vat + w_c (L_contrast of labelled voxels + L_contrast of unlabelled voxels)]."""

    networks = {"network": "default"}
    inference_networks = ("network",)
    requires = ("two_classes:supervised_dice",)
    network: Backbone

    weight = Hyper(1.0, "weight w of the unsupervised terms, times the protocol's ramp", f"{CODE} --consistency")
    contrast_weight = Hyper(0.1, "weight w_c of the contrast beside VAT", f"{CODE}, {PORT}")
    memory = Hyper(32, "vectors that the memory keeps of an organ", f"{CODE} FeatureMemory elements_per_class")
    magnitude = Hyper(10.0, "length of the adversarial change of a crop (L2 over all its voxels)", f"{CODE} VAT3d epi")
    probe = Hyper(10.0, "length of the change at which its direction is found", f"{CODE} VAT3d xi")
    rounds = Hyper(1, "power iterations that find the direction", f"{CODE} VAT3d ip")
    distance = Hyper(
        "per_class",
        "Dice that VAT compares two predictions by: minus its mean over the classes, or 1 minus that of their sums",
        f"{PORT}: per_class; {CODE}: pooled",
        ("per_class", "pooled"),
    )
    supervised_dice = Hyper(
        "all_classes",
        "classes of the supervised Dice; foreground is channel 1 of two classes",
        f"{PORT}: all_classes; {CODE}: foreground",
        ("all_classes", "foreground"),
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        width = self.network.widths[0]
        self.projection, self.prediction = head(width, 2 * width), head(2 * width, 2 * width)
        self.separation = ClassSeparation(context.classes, self.memory, 2 * width)

    def official_modules(self) -> list[dict[str, str]]:
        """The names of the official code, in which encoder and decoder are modules, and of the port, which has none."""
        heads = head_names("projection", "projection_head") | head_names("prediction", "prediction_head")
        heads |= within("separation", self.separation.official_modules())
        plain = self.network.official_modules()
        return [within("network", names) | heads for names in (in_two(plain, "encoder", "decoder"), plain)]

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised Dice, VAT on all rows, then the contrast of labelled and of unlabelled voxels."""
        images, count = batch.everything, len(batch.images)
        feature = self.network.features(images)[-1]
        logits = self.network.head(feature)
        known, others = feature[:count], feature[count:]
        predicted = logits.argmax(1)
        self._remember(known, batch.labels, predicted[:count])
        return {
            "supervised": self._supervised(logits[:count], batch.labels),
            "vat": virtual_adversarial_loss(
                self.network,
                images,
                torch.rand_like(images),
                DISTANCES[self.distance],
                magnitude=self.magnitude,
                probe=self.probe,
                rounds=self.rounds,
            ),
            "contrast_labelled": self._contrast(known, batch.labels),
            "contrast_unlabelled": self._contrast(others, predicted[count:]),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t), and w r(t) w_c of the contrasts."""
        ramped = self.weight * time.ramp
        contrast = ramped * self.contrast_weight
        return {"vat": ramped, "contrast_labelled": contrast, "contrast_unlabelled": contrast}

    def _supervised(self, logits: Tensor, labels: Tensor) -> Tensor:
        probabilities = logits.float().softmax(1)
        if self.supervised_dice == "foreground":
            return dice_linear_fg(probabilities, labels)
        return dice_linear_all(probabilities, one_hot(labels, self.context.classes))

    def _remember(self, feature: Tensor, labels: Tensor, predicted: Tensor) -> None:
        """Replace the memory by labelled voxels of organs that are predicted correctly."""
        right = (predicted == labels) & (labels > 0)
        with evaluation_mode(self.projection), torch.no_grad():
            vectors = self.projection(feature.movedim(1, -1)[right])
        self.separation.remember(vectors, labels[right])

    def _contrast(self, feature: Tensor, labels: Tensor) -> Tensor:
        """Class separation of all voxels of maps ``[b c z y x]`` with labels ``[b z y x]``."""
        vectors = self.prediction(self.projection(feature.movedim(1, -1).flatten(0, -2)))
        loss: Tensor = self.separation(vectors, labels.flatten())
        return loss
