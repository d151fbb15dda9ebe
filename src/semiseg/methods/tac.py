"""Task-affinity consistency (Chen et al., IEEE TMI 42(3), 2023).

At each scale of a V-Net with gated skips a vector per class is the mean feature of the class: of the true mask on
labelled crops, of the predicted probabilities on unlabelled ones. The vectors of unlabelled crop j and of labelled crop
j must be equal.
Follows jingkunchen/TAC: train_class_attention.py. Channels are independent sigmoids, not a softmax. The sum of a crop
is divided by the mask of ALL crops of its half. No gradient is stopped: it flows into both halves and into the
predicted masks. L_sup has the Dice of the background too; the cross-entropy is logged there but not used. The network
is the method's own (``semiseg.methods.parts.tac_network``); it takes the number of filters of the protocol's network.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.losses import SUMMED, dice_squared_per_class, one_hot
from semiseg.method import Batch, Hyper, Method, Net, Terms, TrainingTime
from semiseg.methods.parts.tac_network import GatedVNet

CODE = "jingkunchen/TAC: train_class_attention.py"
SMOOTH = 1e-5


def class_vectors(features: Tensor, masks: Tensor, epsilon: float) -> Tensor:
    """Mean features ``[k n c]``: S_v f m of each crop over (S m of all crops + epsilon).

    features: ``[n c z y x]``; masks: ``[n k z y x]`` in [0, 1], of the same sides.
    """
    with torch.autocast(features.device.type, enabled=False):  # sums over a million voxels
        sums = masks.float().flatten(2) @ features.float().flatten(2).transpose(1, 2)
        return sums.transpose(0, 1) / (masks.float().sum(SUMMED) + epsilon).view(-1, 1, 1)


def affinity(maps: Sequence[Tensor], masks: Tensor, labelled: int, epsilon: float) -> Tensor:
    """Sum over scales of the mean squared difference of the class vectors of both halves.

    maps: features ``[b c z y x]`` of each scale, labelled rows first; masks: ``[b k z y x]`` at full size. A mask comes
    to a scale by the nearest voxel.
    """
    total = torch.zeros((), device=masks.device)
    for features in maps:
        smaller = F.interpolate(masks, features.shape[2:])
        known = class_vectors(features[:labelled], smaller[:labelled], epsilon)
        others = class_vectors(features[labelled:], smaller[labelled:], epsilon)
        total = total + (others - known).square().mean()
    return total


class TAC(Method):
    """L = S_k Dice(s_k, y_k) + a L_attention + e L_encoder, both by ``affinity``, with constant weights."""

    networks = {"network": Net("default", GatedVNet)}
    inference_networks = ("network",)
    requires = ("equal_halves",)
    network: GatedVNet

    attention = Hyper(1.0, "weight a of the gated skips", CODE)
    encoder = Hyper(0.5, "weight e of the encoder's maps", CODE)
    epsilon = Hyper(1e-6, "voxels added to the number of those of a class", f"{CODE} eps")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Dice of the labelled rows, then the consistency of both halves."""
        logits, maps, gated = self.network.outputs_and_maps(batch.everything)
        scores, count = logits.float().sigmoid(), len(batch.images)
        truth = one_hot(batch.labels, scores.shape[1]).float()
        masks = torch.cat([truth, scores[count:]])
        return {
            "supervised": dice_squared_per_class(scores[:count], batch.labels, SMOOTH).sum(),
            "attention": affinity(gated, masks, count, self.epsilon),
            "encoder": affinity(maps, masks, count, self.epsilon),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The constants a and e."""
        return {"attention": self.attention, "encoder": self.encoder}

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """(1 + s - mean s) / K of the sigmoids s ``[b k z y x]``; its mean over windows has the arg-max of theirs.

        The sum over classes is 1, as it has to be.
        """
        scores = self.network(image).float().sigmoid()
        return (1 + scores - scores.mean(1, keepdim=True)) / scores.shape[1]  # type: ignore[no-any-return]
