"""Task-affinity consistency."""

from typing import Any

import torch
from adapters.backbones import count, shape
from stage import at, batch, cast
from torch import Tensor, nn

from semiseg.method import Terms, total
from semiseg.methods.tac import representations, resized
from semiseg.network import construct
from semiseg.networks.vnet_gated import Gate, GatedVNet

Inputs = dict[str, Any]
LOOP = "train_class_attention.py:training loop"
FILE = "networks/vnet_class_attention.py"
MAPS = ("x1", "x2", "x3", "x4", "x5")
SKIPS = ("x4_att", "x3_att", "x2_att", "x1_att")


def step(i: Inputs, p: Inputs) -> Terms:
    """The terms of a step whose network gives the maps of a case, and its total."""
    ours: Any = cast("tac", "half_ce_dice_fg", p["num_classes"], {}, filters=1, epsilon=p["eps"])
    logits, labels = i["logits"], i["labels_onehot"].argmax(1)[: p["labeled_bs"]]
    silence = torch.zeros_like(logits)
    maps, skips = ([i.get(name, silence) for name in names] for names in (MAPS, SKIPS))
    ours.outputs = lambda images: (logits, maps, skips)
    terms: Terms = ours.losses(batch(labels, len(logits)), at(0))
    return {**terms, "total": total(terms, ours.weights(at(0)))}


def gradient(i: Inputs, p: Inputs) -> Tensor:
    logits = i["logits"].requires_grad_()
    return torch.autograd.grad(step({**i, "logits": logits}, p)["total"], logits)[0]


def vectors(i: Inputs, p: Inputs) -> Tensor:
    feature, masks = (i[name][: p["labeled_bs"]] for name in ("x1_att", "labels_onehot"))
    return representations(feature, resized(masks, feature), p["eps"])


def network(channels: int = 1, classes: int = 2, filters: int = 16) -> Any:
    return construct(GatedVNet, channels, classes, "default", filters=filters)


@torch.no_grad()
def shapes(i: Inputs, p: Inputs) -> list[list[int]]:
    ours = network().eval()
    maps = ours.encode(torch.zeros(p["input_shape"]))
    skips, decoded = ours.gated(maps)
    return [shape(ours.head(decoded[-1])), *shape(maps), *shape(skips)]


def gate(i: Inputs, p: Inputs) -> Tensor:
    inner, width = i["Wg"].shape[:2]
    ours = Gate(width, inner, nn.BatchNorm3d).eval()
    for part, name in ((ours.of_map, "Wg"), (ours.of_skip, "Wx"), (ours.weight, "psi")):
        part[0].weight = nn.Parameter(i[name])
        nn.init.zeros_(part[0].bias)
    found: Tensor = ours(i["g"], i["x"])
    return found


ADAPTERS = {
    f"{LOOP}#supervised": lambda i, p: step(i, p)["supervised"],
    f"{LOOP}#encoder_consistency": lambda i, p: step(i, p)["encoder"],
    f"{LOOP}#attention_consistency": lambda i, p: step(i, p)["attention"],
    f"{LOOP}#total": lambda i, p: step(i, p)["total"],
    f"{LOOP}#class_representation": vectors,
    f"{LOOP}#grad_logits": gradient,
    f"{FILE}:VNet#network_params": lambda i, p: count(network(p["n_channels"], p["n_classes"], p["n_filters"])),
    f"{FILE}:VNet#network_output_shapes": shapes,
    f"{FILE}:Attention_block": gate,
}
