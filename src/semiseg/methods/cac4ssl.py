"""CAC4SSL: contour-aware consistency (Li, Lian, Luo, Wang, Li, 2024).

One encoder has two decoders: a plain one, and one that is led to the contours of its own coarser prediction. Both give
logits at five scales and learn the labels at each. Their mean gives pseudo labels for all crops. Where the two disagree
at full size, the vectors of a voxel in both decoders are pulled together, away from other such voxels of the crop.
Follows SmileJET/CAC4SSL: code/train_3d.py. Pseudo labels have no threshold. The supervised loss is the method's own,
not the protocol's, and the network is a V-Net whatever the protocol's is.
Departures: an anchor's similarity with itself is left out of the sum, where the code subtracts it and loses digits. A
crop in which the decoders agree everywhere adds 0 to the contrast, where the code's mean is not a number.
Ours (unverified): more than two classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.organ_dice import dice_linear_each
from semiseg.method import Batch, Context, Hyper, Method, Net, Terms, TrainingTime
from semiseg.methods.parts.cac4ssl_contrast import anchors, contrast
from semiseg.methods.parts.cac4ssl_network import ContourDecoder, Outputs, ScaleHeads, plain
from semiseg.networks.vnet import VNet

CODE = "SmileJET/CAC4SSL: code/train_3d.py"


class CAC4SSL(Method):
    """L = w_s S_d,s L_dice(z_ds) + w r(t) {S_d,s [CE(z_ds, y_s) + L_dice(z_ds, y_s)] + S_d L_contrast(d)}.

    z_ds: logits of decoder d at scale s; y_s: argmax of the mean probability of both decoders at that scale.
    """

    networks = {"network": Net("default", VNet)}
    inference_networks = ("network",)
    network: VNet

    weight = Hyper(1.0, "weight w of consistency and contrast, times the protocol's ramp", f"{CODE} --consistency")
    supervised_weight = Hyper(0.5, "weight w_s of the supervised term", f"{CODE} --lamda")
    samples = Hyper(50, "most anchors of a decoder in a crop", f"{CODE}, read from the name sample_50")
    dimension = Hyper(64, "channels of a voxel's vector", f"{CODE} --emb")
    temperature = Hyper(0.07, "temperature of the contrast", "SmileJET/CAC4SSL: code/utils/contrast_loss.py")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.heads = ScaleHeads(self.network.widths, context.classes, self.dimension)
        self.contour = ContourDecoder(self.network, context.classes, self.dimension)

    def outputs(self, images: Tensor) -> tuple[Outputs, Outputs]:
        """Outputs of the plain decoder and of the one with contours for images ``[b c z y x]``."""
        maps = self.network.encode(images)
        return plain(self.network, self.heads, maps), self.contour(maps)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Dice of all scales on the labelled rows, then consistency and contrast of all rows."""
        count, decoders = len(batch.images), self.outputs(batch.everything)
        scales = list(zip(*(each.logits for each in decoders), strict=True))
        supervised, consistency, labels = [], [], batch.labels
        for scale, pair in enumerate(scales):
            supervised += [dice_linear_each(logits[:count].float().softmax(1), labels) for logits in pair]
            consistency += self.consistency(pair, full_size=scale == 0)
            labels = labels[:, ::2, ::2, ::2]
        return {
            "supervised": torch.stack(supervised).sum(),
            "consistency": torch.stack(consistency).sum(),
            "contrast": self.contrast(*decoders),
        }

    def consistency(self, pair: tuple[Tensor, ...], full_size: bool) -> list[Tensor]:
        """CE + Dice of each decoder's logits ``[b k z y x]`` of one scale with the label of their mean probability."""
        probabilities = [logits.float().softmax(1) for logits in pair]
        mean = torch.stack(probabilities).mean(0).detach()
        target = self.context.refine(mean.argmax(1), mean) if full_size else mean.argmax(1)
        both = zip(pair, probabilities, strict=True)
        return [cross_entropy(logits, target) + dice_linear_each(own, target) for logits, own in both]

    def contrast(self, first: Outputs, second: Outputs) -> Tensor:
        """L_contrast of both decoders, each with anchors of its own."""
        disagree = first.logits[0].argmax(1) != second.logits[0].argmax(1)
        scores = torch.rand(2, *disagree.shape, device=disagree.device)
        return sum(
            (
                contrast(own.vectors, other.vectors, *anchors(disagree, drawn, self.samples), self.temperature)
                for own, other, drawn in zip((first, second), (second, first), scores, strict=True)
            ),
            start=torch.zeros((), device=disagree.device),
        )

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """w_s, and the ramped weight w r(t) of consistency and contrast."""
        ramped = self.weight * time.ramp
        return {"supervised": self.supervised_weight, "consistency": ramped, "contrast": ramped}
