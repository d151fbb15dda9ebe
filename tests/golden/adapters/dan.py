"""Deep adversarial network."""

from typing import Any

import torch
from adapters.backbones import constant_fill, count
from stage import Speaker, at, batch, cast, clock
from torch import Tensor, nn

from semiseg.method import Method, TrainingTime, total
from semiseg.networks.heads.discriminator import Discriminator
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "code/train_adversarial_network_3D.py:training loop"
FILE = "code/networks/discriminator.py:FC3DDiscriminator"


class Verdict(Speaker):
    """A discriminator that says the given logits, whatever it is shown."""

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        return self.outputs.pop(0)


def discriminator(p: Inputs) -> Discriminator:
    return Discriminator(p["num_classes"], p.get("n_channel", 1), p.get("ndf", 64))


def adversarial(i: Inputs, p: Inputs) -> Tensor:
    verdict = i["disc_logits_unlabelled"]
    crops = torch.zeros(1, 1, 1, 1, dtype=torch.int64), torch.zeros(1 + len(verdict), 2, 1, 1, 1)
    method = cast("dan", "half_ce_dice_all", 2, {"network": Speaker(crops[1]), "discriminator": Verdict(verdict)})
    return method.losses(batch(crops[0], len(crops[1])), at(0))["adversarial"]


def moment(p: Inputs) -> TrainingTime:
    return clock(p["iter_num"], p["iter_num"] + 1, Ramp(every=150, length=p["consistency_rampup"]))


def objective(i: Inputs, p: Inputs) -> Tensor:
    logits, labels, verdict = i["student_logits"], i["labels"][: p["labeled_bs"]], i["disc_logits_unlabelled"]
    networks = {"network": Speaker(logits), "discriminator": Verdict(verdict)}
    method = cast("dan", "half_ce_dice_all", p["n_classes"], networks, weight=p["consistency"])
    return total(method.losses(batch(labels, len(logits)), moment(p)), method.weights(moment(p)))


def discriminator_loss(method: Method, i: Inputs, p: Inputs) -> Tensor:
    """L_D of a method whose networks say zeros."""
    method.discriminator = Verdict(i["disc_logits"])
    labels = torch.zeros(sum(p["targets"]), 1, 1, 1, dtype=torch.int64)  # labelled rows, target 1, come first
    return method.adversary_losses(batch(labels, len(p["targets"])), at(0))["discriminator"]


def of_dan(i: Inputs, p: Inputs) -> Tensor:
    logits = torch.zeros(len(p["targets"]), 2, 1, 1, 1)
    return discriminator_loss(cast("dan", "half_ce_dice_all", 2, {"network": Speaker(logits)}), i, p)


def filled(i: Inputs, p: Inputs) -> Tensor:
    network = constant_fill(discriminator(p))
    rows = torch.tensor([[1.0], [-2.0]]) / network.classifier.in_features
    nn.init.constant_(network.classifier.bias, 0.01)
    network.classifier.weight = nn.Parameter(rows.expand_as(network.classifier.weight))
    return network(i["map"], i["image"])


ADAPTERS = {
    f"{LOOP}#adv_loss": adversarial,
    f"{LOOP}#seg_total": objective,
    f"{LOOP}#disc_loss": of_dan,
    f"{FILE}#disc_params": lambda i, p: count(discriminator(p)),
    f"{FILE}#disc_constfill_forward": filled,
}
