"""MC-CauSSL: causality-inspired mutual consistency (Miao et al., ICCV 2023).

One encoder has three decoders that differ in how they upsample, and that agree with sharpened predictions of each other
on unlabelled crops. Such an agreement helps only if the decoders are independent. Their dependence is measured on the
weights: how well each filter of a decoder is a combination of the filters of the two others. From time to time a max
step fits the combinations; every other step makes the filters harder to fit. The network's own decoder predicts.
Follows JuzhengMiao/CauSSL: train_CT_MCCauSSL.py, also where it reads the second and the third decoder's weights without
gradient: their dependences are computed and fitted, but only the first decoder learns to be independent
(``independence``).
Departure: two copies of the deepest block, which the official network has and does not use, are left out.
Ours (unverified): more than two classes, and the BraTS row, whose settings are not published. The network is a V-Net
whatever that of the protocol is.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from semiseg.base.errors import UserError
from semiseg.blocks.mutual_consistency import distances, sharpened
from semiseg.method import Batch, Context, Hyper, Method, Net, Terms, TrainingTime
from semiseg.methods.parts.mc_caussl_independence import Layers, Mixing, dependences
from semiseg.methods.parts.mc_caussl_network import PointwiseBranch, filters
from semiseg.networks.vnet import VNet

CODE = "JuzhengMiao/CauSSL: train_CT_MCCauSSL.py"
DEPENDENCES = ("independence_1", "independence_2", "independence_3")


class MCCauSSL(Method):
    """L = sum_b L_sup(z_b) + w r(t) sum_{b != c} mean((p_b - sharpen(p_c))^2) + w_i (I_1 + I_2 + I_3).

    L_sup is the protocol's supervised loss, in the script 0.5 (CE + Dice). The squared errors are those of the
    unlabelled rows, and sharpen(p_c) has no gradient. I_b is the mean over layers and filters of the squared cosine
    between a filter of decoder b and its best combination of the others' filters; 0 before the first max step.
    """

    networks: Mapping[str, str | Net] = {"network": Net("default", VNet)}
    inference_networks = ("network",)
    network: VNet

    weight = Hyper(0.1, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    independence_weight = Hyper(3.0, "weight w_i of the three dependences", CODE)
    temperature = Hyper(0.5, "temperature T of the sharpening", CODE)
    interval = Hyper(60, "steps between two max steps, which come at its multiples", CODE)
    start_after = Hyper(40, "max steps come after more steps than these", CODE)
    inner_steps = Hyper(60, "steps of Adam in a max step", CODE)
    mixing_rate = Hyper(0.02, "learning rate of this Adam", CODE)
    independence = Hyper(
        "official", "which decoders learn to be independent: the first, or all", CODE, ("official", "all_branches")
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.interval < 1:
            raise UserError(f"MCCauSSL.interval must be 1 or more steps; found {self.interval}")
        forms = ("trilinear", "nearest")
        self.branches = nn.ModuleList(PointwiseBranch(self.network, context.classes, form) for form in forms)
        self.mixing = Mixing([len(layer) for layer in self.layers[0]])

    @property
    def layers(self) -> list[Layers]:
        """The filters of the three decoders."""
        own = filters(self.network.decoder, self.network.head)
        return [own, *(filters(each.get_submodule("decoder"), each.get_submodule("head")) for each in self.branches)]

    @property
    def learning(self) -> tuple[int, ...]:
        """Numbers of the decoders that learn to be independent."""
        return (0,) if self.independence == "official" else (0, 1, 2)

    @property
    def logged_only(self) -> frozenset[str]:
        """The dependences of the decoders that do not learn from them."""
        return frozenset(DEPENDENCES[len(self.learning) :])

    def is_max_step(self, iteration: int) -> bool:
        """Whether a step begins with a fit of the combinations."""
        return iteration > self.start_after and iteration % self.interval == 0

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised losses of the labelled rows, consistency of the unlabelled ones, dependences of the weights."""
        if self.is_max_step(time.iteration):
            self.mixing.ascend(self.layers, self.inner_steps, self.mixing_rate)
        count, maps = len(batch.images), self.network.encode(batch.everything)
        own = self.network.head(self.network.decode(maps)[-1])
        logits = [own, *(branch(maps) for branch in self.branches)]
        known = [self.context.supervised(each[:count], batch.labels) for each in logits]
        probabilities = [each[count:].float().softmax(1) for each in logits]
        targets = [sharpened(each.detach(), self.temperature) for each in probabilities]
        return {
            **{f"supervised_{number}": each for number, each in enumerate(known, 1)},
            "consistency": torch.stack(distances(probabilities, targets)).sum(),
            **dict(zip(DEPENDENCES, self._dependences(time.iteration), strict=True)),
        }

    def _dependences(self, iteration: int) -> list[torch.Tensor]:
        first = (self.start_after // self.interval + 1) * self.interval
        if iteration < first:
            return [torch.zeros((), device=self.mixing.steps.device) for _ in DEPENDENCES]
        with torch.autocast(self.mixing.steps.device.type, enabled=False):
            return dependences(self.layers, self.mixing.matrices, self.learning)

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight w r(t), and w_i."""
        return {"consistency": self.weight * time.ramp, **dict.fromkeys(DEPENDENCES, self.independence_weight)}
