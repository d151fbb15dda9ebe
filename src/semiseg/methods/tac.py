"""TAC: task-affinity consistency (Chen, Zhang, Debattista, Han, IEEE TMI 2022).

The skips of a V-Net pass attention gates. At five encoder maps and four gated skips a vector of each class is the mean
of the map over the class: over the true labels of a labelled crop, over the predicted probabilities of an unlabelled
one. The vectors of crop i of both halves must be equal.
Follows jingkunchen/TAC: train_class_attention.py. Each class has a sigmoid of its own. The sum over the voxels of one
crop is divided by the size of the class in its whole half. The Dice losses of all classes are added up; this supervised
loss is the method's own, not the protocol's. No gradient is stopped: it flows into both halves, the maps and the masks.
Departures: the average over windows is that of the sigmoids after division by their sum over the classes. The code's
rate changes with the epoch, one step late, which no protocol has yet.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from semiseg.blocks.losses import dice_squared_per_class, one_hot
from semiseg.method import Batch, Hyper, Method, Net, Terms, TrainingTime
from semiseg.networks.vnet_gated import GatedVNet

CODE = "jingkunchen/TAC: train_class_attention.py"
SMOOTH = 1e-5  # of the Dice loss


def resized(masks: Tensor, like: Tensor) -> Tensor:
    """Masks ``[b k z y x]`` of the sides of a smaller map, by the nearest voxel: every n-th one from the first."""
    steps = [side // small for side, small in zip(masks.shape[2:], like.shape[2:], strict=True)]
    return masks[:, :, :: steps[0], :: steps[1], :: steps[2]]


def representations(feature: Tensor, masks: Tensor, epsilon: float) -> Tensor:
    """Vectors ``[k b c]`` of the classes: V(m f) / (S(m) + epsilon), of maps ``[b c z y x]`` and masks ``[b k z y x]``.

    V is the sum over the voxels of one crop, S the one over all crops.
    """
    with torch.autocast(feature.device.type, enabled=False):
        masks = masks.float()
        sums = torch.einsum("bczyx,bkzyx->kbc", feature.float(), masks)
        return sums / (masks.sum((0, 2, 3, 4)) + epsilon).view(-1, 1, 1)


class TAC(Method):
    """L = sum over classes of L_dice + w_att L_att + w_enc L_enc.

    L_att and L_enc are sums over gated skips and encoder maps of mean (R_u - R_l)^2, R the classes' vectors.
    """

    networks = {"network": Net("default", GatedVNet)}
    inference_networks = ("network",)
    requires = ("equal_halves",)
    network: GatedVNet

    attention_weight = Hyper(1.0, "weight of the difference at the gated skips", CODE)
    encoder_weight = Hyper(0.5, "weight of the difference at the encoder maps", CODE)
    epsilon = Hyper(1e-6, "added to the size of a class", CODE)

    def outputs(self, images: Tensor) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
        """Logits ``[b k z y x]``, the five encoder maps and the four gated skips."""
        maps = self.network.encode(images)
        skips, decoded = self.network.gated(maps)
        return self.network.head(decoded[-1]), maps, skips

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Dice on the labelled rows, then the difference of both halves at gated skips and encoder maps."""
        logits, maps, skips = self.outputs(batch.everything)
        known, predicted = logits.float().sigmoid().tensor_split([len(batch.images)])
        truth = one_hot(batch.labels, self.context.classes).float()
        return {
            "supervised": dice_squared_per_class(known, batch.labels, SMOOTH).sum(),
            "attention": torch.stack([self.difference(each, truth, predicted) for each in skips]).sum(),
            "encoder": torch.stack([self.difference(each, truth, predicted) for each in maps]).sum(),
        }

    def difference(self, feature: Tensor, truth: Tensor, predicted: Tensor) -> Tensor:
        """Mean squared difference of the classes' vectors of both halves of a map ``[b c z y x]``."""
        known, others = feature.tensor_split([len(truth)])
        own = representations(known, resized(truth, known), self.epsilon)
        other = representations(others, resized(predicted, others), self.epsilon)
        return (other - own).square().mean()

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Constant weights."""
        return {"attention": self.attention_weight, "encoder": self.encoder_weight}

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """Sigmoids of all classes divided by their sum, ``[b k z y x]``."""
        scores: Tensor = self.network(image).float().sigmoid()
        return scores / scores.sum(1, keepdim=True)
