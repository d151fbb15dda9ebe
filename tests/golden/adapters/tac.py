"""Task-affinity consistency."""

from typing import Any

import torch
from adapters.backbones import count, shape
from stage import at, batch, cast
from torch import Tensor, nn

from semiseg.method import Terms, total
from semiseg.methods.parts.tac_network import AttentionGate, GatedVNet
from semiseg.methods.tac import class_vectors

Inputs = dict[str, Any]
LOOP = "train_class_attention.py:training loop"
FILE = "networks/vnet_class_attention.py"
ENCODER = tuple(f"x{level}" for level in range(1, 6))
SKIPS = tuple(f"x{level}_att" for level in range(4, 0, -1))


class Maps(nn.Module):
    """A network that gives these logits and maps, whatever the image is."""

    def __init__(self, i: Inputs) -> None:
        super().__init__()
        known = (i[name] for name in ENCODER if name in i), (i[name] for name in SKIPS if name in i)
        self.given = (i["logits"], *map(list, known))

    def outputs_and_maps(self, image: Tensor) -> Any:
        return self.given


def step(i: Inputs, p: Inputs) -> Terms:
    """The terms of a step with given maps, and its total."""
    method = cast("tac", "half_ce_dice_fg", p["num_classes"], {"network": Maps(i)}, epsilon=p["eps"])
    labels = i["labels_onehot"][: p["labeled_bs"]].argmax(1)
    terms = method.losses(batch(labels, len(i["logits"])), at(0))
    return {**terms, "total": total(terms, method.weights(at(0)))}


def gradient(i: Inputs, p: Inputs) -> Tensor:
    logits = i["logits"].clone().requires_grad_()
    (found,) = torch.autograd.grad(step({**i, "logits": logits}, p)["total"], logits)
    return found


def vectors(i: Inputs, p: Inputs) -> Tensor:
    count = p["labeled_bs"]
    return class_vectors(i["x1_att"][:count], i["labels_onehot"][:count], p["eps"])


def gated(i: Inputs, p: Inputs) -> Tensor:
    gate = AttentionGate(i["g"].shape[1], i["x"].shape[1], len(i["Wg"])).eval()
    for part, name in ((gate.of_gating, "Wg"), (gate.of_skip, "Wx"), (gate.psi, "psi")):
        part[0].weight = nn.Parameter(i[name])
        nn.init.zeros_(part[0].bias)
    return gate(i["g"], i["x"])


def network(p: Inputs) -> GatedVNet:
    return GatedVNet(p.get("n_channels", 1), p.get("n_classes", 2), p.get("n_filters", 16))


def shapes(i: Inputs, p: Inputs) -> Any:
    logits, maps, skips = network(p).eval().outputs_and_maps(torch.zeros(p["input_shape"]))
    return shape([logits, *maps, *skips])


ADAPTERS = {
    f"{LOOP}#supervised": lambda i, p: step(i, p)["supervised"],
    f"{LOOP}#encoder_consistency": lambda i, p: step(i, p)["encoder"],
    f"{LOOP}#attention_consistency": lambda i, p: step(i, p)["attention"],
    f"{LOOP}#total": lambda i, p: step(i, p)["total"],
    f"{LOOP}#class_representation": vectors,
    f"{LOOP}#grad_logits": gradient,
    f"{FILE}:VNet#network_params": lambda i, p: count(network(p)),
    f"{FILE}:VNet#network_output_shapes": shapes,
    f"{FILE}:Attention_block": gated,
}
