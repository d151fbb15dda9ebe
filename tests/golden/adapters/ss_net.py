"""Smoothness and class separation."""

from typing import Any

from adapters.backbones import count
from support.facts import facts
from torch import Tensor, nn

from semiseg.blocks.losses import dice_linear_all, dice_linear_fg, dice_linear_pooled, one_hot
from semiseg.blocks.virtual_adversary import Distance, unit, virtual_adversarial_loss
from semiseg.learning.build import build_method
from semiseg.methods.parts.ss_net_contrast import ClassSeparation
from semiseg.params.config import Network

Inputs = dict[str, Any]
LAYERS = (0, 0, 3, 3)  # of a selector, whose weights a case lists as weight, bias, weight, bias


def separation(i: Inputs, p: Inputs, size: int) -> ClassSeparation:
    """Selectors with the given weights; those of the memory keep theirs where a case gives none."""
    found = ClassSeparation(p["classes"], size, i["features"].shape[1])
    for name, ours in (("selectors", found.selectors), ("memory_selectors", found.memory_selectors)):
        for weights, selector in zip(i.get(name, []), ours, strict=False):
            for number, (value, layer) in enumerate(zip(weights, LAYERS, strict=True)):
                setattr(selector[layer], "bias" if number % 2 else "weight", nn.Parameter(value))
    return found


def contrast(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    memory = [vectors for vectors in i["memory"] if vectors is not None]
    ours = separation(i, p, max(len(vectors) for vectors in memory))
    for number, vectors in enumerate(i["memory"]):
        if vectors is not None:
            ours.memory[number, : len(vectors)] = vectors
            ours.stored[number] = len(vectors)
    features = i["features"].requires_grad_()
    loss = ours(features, i["labels"])
    loss.backward()
    return {"loss": loss, "grad_features": features.grad}


def remembered(i: Inputs, p: Inputs) -> list[Tensor]:
    ours = separation(i, p, p["elements_per_class"])
    ours.remember(i["features"], i["labels"])
    return [ours.memory[number, : ours.stored[number]] for number in range(1, p["classes"])]


def adversarial(i: Inputs, p: Inputs, distance: Distance) -> Tensor:
    network = nn.Conv3d(*reversed(i["weight"].shape[:2]), i["weight"].shape[-1], padding="same")
    network.weight, network.bias = nn.Parameter(i["weight"]), nn.Parameter(i["bias"])
    sizes = {"magnitude": p["epi"], "probe": p["xi"], "rounds": p["ip"]}
    return virtual_adversarial_loss(network, i["image"], i["uniform"], distance, **sizes)


def parameters(classes: int, filters: int) -> int:
    return count(build_method("ss_net", {}, Network(name="vnet", filters=filters), None, facts([1.0] * classes)))


ADAPTERS = {
    "code/utils/contrastive_losses.py:contrastive_class_to_class_learned_memory": contrast,
    "code/utils/feature_memory.py:FeatureMemory.add_features_from_sample_learned": remembered,
    "code/utils/losses.py:VAT3d.forward": lambda i, p: adversarial(i, p, dice_linear_pooled),
    "xmed-lab/DHC:code/train_ssnet.py:VAT3d.forward": lambda i, p: adversarial(i, p, dice_linear_all),
    "code/utils/losses.py:_l2_normalize": lambda i, p: unit(i["d"]),
    "code/utils/losses.py:Binary_dice_loss": lambda i, p: dice_linear_fg(i["logits"].softmax(1), i["label"]),
    "xmed-lab/DHC:code/train_ssnet.py:training loop": lambda i, p: dice_linear_all(
        i["logits"].softmax(1), one_hot(i["label"], i["logits"].shape[1])
    ),
    "xmed-lab/DHC:code/models/vnet.py:VNet4SSNet": lambda i, p: [
        parameters(classes, filters=32) for classes in p["classes"]
    ],
    "code/networks/VNet.py:VNet": lambda i, p: parameters(p["classes"], filters=16),
}
