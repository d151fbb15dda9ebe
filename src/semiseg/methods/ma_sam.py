"""MA-SAM (Chen et al., Medical Image Analysis 98, 2024): SAM adapted to stacks of neighbouring slices.

No unlabelled crops are used. Follows cchen-cc/MA-SAM: MA-SAM/trainer.py, MA-SAM/utils.py. Stacks are the slices across
the shortest side of a crop.
The protocol repeats the first and the last slice twice at inference (``inference.border``).
Departures: in training a stack lies within its scan, where the official code repeats those slices as well. Turns,
flips and the like are the protocol's; random erasing and the ten drawn operations of the official loader are not done.
Intensities are those of the protocol, where the official script for MRI cuts them at the 99th percentile.
Ours (unverified): all settings for data other than those of the paper. Slices are resized to SAM's image on the device.
Weights to bring: SAM's, sam_vit_h_4b8939.pth (or sam_vit_l_0b3195.pth, sam_vit_b_01ec64.pth), from
github.com/facebookresearch/segment-anything, by `semiseg import-weights NAME FILE`.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from semiseg.blocks.losses import cross_entropy, dice_squared_all
from semiseg.blocks.slices import resized, stacks, unstacked
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.ma_sam_network import OWN, AdaptedSam

CODE = "cchen-cc/MA-SAM: MA-SAM/train.py"


class MaSam(Method):
    """L = (1 - w) CE + w Dice, the Dice of all classes with squared denominators over all slices of the batch.

    The supervised loss is the method's own, not the protocol's. The weights of a run hold SAM as well.
    """

    inference_networks = ("network",)
    labelled_only = True
    counted_whole = True
    requires = ("sam", "pretrained")
    official_unused = OWN

    scale = Hyper(0.5, "side to which slices are resized over the side of SAM's image, 512 / 1024", CODE)
    rank = Hyper(32, "rank of the factors of query and value", CODE)
    factor_scale = Hyper(1.0, "factor of what they add", CODE)
    dropout = Hyper(0.1, "probability per value of the factors' dropout", "cchen-cc/MA-SAM: _Fact_tt_qkv")
    adapter_channels = Hyper(384, "channels of the adapters between slices", "cchen-cc/MA-SAM: ImageEncoderViT")
    dice_weight = Hyper(0.8, "weight w of the Dice", CODE)

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        sam: Any = context.network("default", context.classes)
        sam.resize(round(self.scale * sam.sizes.side))
        self.network = AdaptedSam(
            sam, context.classes, self.rank, self.adapter_channels, self.factor_scale, self.dropout
        )

    @property
    def rate_lag(self) -> int:
        """The script sets the rate after a step by the number that this step had."""
        return 1

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of Meta's file; positions are resampled, and what the decoder adds or changes stays as it is."""
        self.network.sam.require_width(tensors)
        return self.network.sam.fitted(super().from_official(tensors), "network.sam.")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Both terms on all slices, at the size of SAM's image."""
        labels = resized(stacks(batch.labels).float(), self.sides, "nearest").long()
        return terms(self.network(self.prepared(batch.images)), labels)

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """1 - w and w."""
        return {"cross_entropy": 1 - self.dice_weight, "dice": self.dice_weight}

    @property
    def sides(self) -> tuple[int, int]:
        """Sides of SAM's image in pixels."""
        side: int = self.network.sam.sizes.side
        return side, side

    def prepared(self, crops: Tensor) -> Tensor:
        """Stacks ``[b n s s]`` of crops ``[b 1 z y x]``."""
        return resized(stacks(crops).squeeze(1), self.sides, "bicubic")

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """Class probabilities, resized to the slices."""
        probabilities = self.network(self.prepared(image)).float().softmax(1)
        found = resized(probabilities.flatten(1, 2), stacks(image).shape[-2:], "bicubic")
        found = found.view(*probabilities.shape[:3], *found.shape[-2:])
        return unstacked(found, image)


def terms(logits: Tensor, labels: Tensor) -> Terms:
    """Cross-entropy, and Dice of all classes, of logits ``[b k n h w]`` and labels ``[b n h w]``."""
    dice = dice_squared_all(logits.float().softmax(1), labels)
    return {"cross_entropy": cross_entropy(logits, labels), "dice": dice}
