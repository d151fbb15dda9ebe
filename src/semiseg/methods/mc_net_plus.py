"""MC-Net+: mutual consistency of decoders (Wu et al., Medical Image Analysis 2022, arXiv 2109.09960).

One encoder has three decoders that differ in how they upsample. On all crops the probabilities of each decoder must
agree with the sharpened ones of the two others. The network's own decoder predicts.
Follows ycwu1997/MC-Net: code/train_mcnet_3d.py: no gradient is stopped, and the cross-entropy is logged there but not
used. The supervised loss is the method's own, not the protocol's. MC-Net (MICCAI 2021) is ``third: none``.
The scripts train at a constant rate and count a step before they read the ramp; that is a matter of the protocol.
Ours (unverified): the Dice of more than one organ is the mean over the organs; on a 3D U-Net, whose own decoder is
trilinear, ``second`` must be another form, such as transposed.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.mutual_consistency import distances, sharpened_each
from semiseg.blocks.organ_dice import dice_linear_each
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.network import Backbone, Upsampling, in_two, within
from semiseg.networks.heads.branch import Branch

CODE = "ycwu1997/MC-Net: code/train_mcnet_3d.py"
NETWORK = "ycwu1997/MC-Net: code/networks/VNet.py MCNet3d_v2"
Third = Upsampling | Literal["none"]


class MCNetPlus(Method):
    """L = lambda sum_i Dice(p_i) + w r(t) sum_{i != j} mean((p_i - sharpen(p_j))^2) over the decoders i and j.

    The Dice is that of the labelled rows, 1 - (2 S(py) + s) / (S(p) + S(y) + s) with s = 1e-8.
    """

    networks = {"network": "default"}
    inference_networks = ("network",)
    requires = ("further_decoders",)
    network: Backbone

    weight = Hyper(1.0, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    supervised_weight = Hyper(0.5, "weight lambda of the supervised term", f"{CODE} --lamda")
    temperature = Hyper(0.1, "temperature T of the sharpening", f"{CODE} --temperature")
    supervised = Hyper(
        "dice", "supervised loss: Dice, or CE + Dice", f"{CODE}; dice_ce: the paper", ("dice", "dice_ce")
    )
    second = Hyper[Upsampling](
        "trilinear", "how the second decoder upsamples", NETWORK, ("transposed", "trilinear", "nearest")
    )
    third = Hyper[Third](
        "nearest",
        "how the third decoder upsamples; none: there is none, as in MC-Net",
        f"{NETWORK}; none: MCNet3d_v1",
        ("transposed", "trilinear", "nearest", "none"),
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        third = self.third
        forms = [self.second] if third == "none" else [self.second, third]
        self.branches = nn.ModuleList(Branch(self.network, context.classes, form) for form in forms)

    def official_modules(self) -> list[dict[str, str]]:
        """The names of the source, in which the decoders are numbered from 1, the network's own."""
        found = within("network", in_two(self.network.official_modules(), "encoder", "decoder1"))
        for number, branch in enumerate(self.branches):
            names = branch.official_modules().items()  # type: ignore[operator]
            found |= {f"branches.{number}.{ours}": f"decoder{number + 2}.{official}" for ours, official in names}
        return [found]

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised losses of the labelled rows, summed over the decoders, and consistency of all rows."""
        maps = self.network.encode(batch.everything)
        own = self.network.head(self.network.decode(maps)[-1])
        logits = [each.float() for each in (own, *(branch(maps) for branch in self.branches))]
        probabilities = [each.softmax(1) for each in logits]
        targets = [sharpened_each(each, self.temperature) for each in probabilities]
        known = [self.supervised_loss(each[: len(batch.labels)], batch.labels) for each in logits]
        return {
            "supervised": torch.stack(known).sum(),
            "consistency": torch.stack(distances(probabilities, targets)).sum(),
        }

    def supervised_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Supervised loss of one decoder, of logits ``[b k z y x]`` and labels ``[b z y x]``."""
        dice = dice_linear_each(logits.softmax(1), labels)
        return dice if self.supervised == "dice" else dice + cross_entropy(logits, labels)

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """lambda, and the ramped weight w r(t)."""
        return {"supervised": self.supervised_weight, "consistency": self.weight * time.ramp}
