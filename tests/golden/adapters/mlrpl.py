"""Mutual learning with reliable pseudo labels."""

from typing import Any

import torch
from adapters.backbones import count, shape
from stage import at, batch, cast, clock
from support.facts import facts
from torch import Tensor

from semiseg.learning.build import build_method
from semiseg.methods.mlrpl import MLRPL, reliability
from semiseg.params.config import Network, Ramp

Inputs = dict[str, Any]
FILE = "code/train_Mutual_Reliable.py"
LATER = f"{FILE}:training loop (commit of 2024-10)"
FIRST = f"{FILE}:training loop at commit 81c0ece8cf68fae51bf81bea5c791b7c73eaff37"


def speaking(i: Inputs, **hyper: Any) -> Any:
    """The method whose decoders give the logits and maps of a case."""
    ours: Any = cast("mlrpl", "half_ce_dice_fg", i["logits1"].shape[1], {}, filters=1, **hyper)
    ours.outputs = lambda images: ((i["logits1"], i["feat1"]), (i["logits2"], i["feat2"]))
    return ours


def mutual(i: Inputs, on_probabilities: bool) -> dict[str, Tensor]:
    i = {**i, "logits1": i["logits1"].requires_grad_()}
    labels = i["label"][:1]  # the term sees no label
    ours = speaking(i, ce_on_probabilities=on_probabilities)
    loss = ours.losses(batch(labels, len(i["logits1"])), at(0))["mutual"]
    (gradient,) = torch.autograd.grad(loss, i["logits1"])
    first, second = i["logits1"].detach().softmax(1), i["logits2"].softmax(1)
    mask, weight = reliability(second, first, i["feat1"], first.argmax(1))
    last = {"weight_last_direction": mask * weight, "mask_sum_last_direction": mask.sum()}
    return {"loss": loss, "grad_logits1": gradient, **last}


def supervised(i: Inputs, p: Inputs) -> Tensor:
    labels = i["label"][: p["labelled"]]
    found: Tensor = speaking(i).losses(batch(labels, len(i["logits1"])), at(0))["supervised"]
    return found


def ramped(i: Inputs, p: Inputs) -> list[float]:
    ours = cast("mlrpl", "half_ce_dice_fg", 2, {}, filters=1)
    ramp = Ramp(every=150, length=p["rampup"], lag=-1)  # the script counts the step before it reads the number
    return [ours.weights(clock(number - 1, number, ramp))["mutual"] for number in p["iterations"]]


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = build_method("mlrpl", {}, Network(name="vnet", filters=16), None, facts([1.0, 1.0]))
    assert isinstance(ours, MLRPL)
    with torch.no_grad():
        logits, features = zip(*ours.outputs(torch.zeros(p["input"])), strict=True)
    return {"parameters": count(ours), "logits": shape(logits), "features": shape(features)}


ADAPTERS = {
    LATER: lambda i, p: mutual(i, on_probabilities=False),
    FIRST: lambda i, p: mutual(i, on_probabilities=True),
    f"{FILE}:training loop (loss_seg_dice)": supervised,
    f"{FILE}:get_current_consistency_weight": ramped,
    "code/networks/VNet.py:Mine3d_v1": sizes,
}
