"""MagicNet."""

from typing import Any

import torch
from adapters.backbones import count, shape
from stage import clock
from support.facts import facts
from torch import Tensor

from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import dice_squared_all
from semiseg.learning.build import build_method
from semiseg.methods.magicnet import dice_loss, location_loss, supervised_loss
from semiseg.methods.parts import magicnet_cubes as cb
from semiseg.methods.parts.magicnet_cubes import blend, frequencies
from semiseg.params.config import Network, Ramp

Inputs = dict[str, Any]
UTILS = "code/utils/cube_utils.py"
LOSSES = "code/utils/cube_losses.py"
TRAIN = "code/train_main_btcv.py"


def grid(volume: Tensor, p: Inputs) -> cb.Grid:
    return cb.grid(volume.shape[2:], p["cube_size"])


def unmixed(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    volume = i["volume"]
    out = cb.merge(cb.split(volume, p["cube_size"]), grid(volume, p), "official")
    return {"out": out, "same_fraction": (out == volume).float().mean()}


def located(i: Inputs, p: Inputs) -> Tensor:
    """The permutation is not used: the loss does not depend on the order of the cubes."""
    counts = cb.grid(p["volume_shape"][2:], p["cube_size"])
    return location_loss(torch.stack(i["feat"]).flatten(2), cb.positions(counts))


def organ_weights(i: Inputs, p: Inputs) -> Tensor:
    counts = class_counts(i["stored_labels"], p["num_classes"]).sum(0)
    return frequencies(counts, p.get("T_dist", 1.0))


def blended(i: Inputs, p: Inputs) -> Tensor:
    return blend(i["teacher_logits"], i["cube_logits"], organ_weights(i, p))


def blended_labels(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits = blended(i, p)
    return {"logits": logits, "histogram": class_counts(logits.argmax(1), p["num_classes"]).sum(0)}


def supervised(i: Inputs, p: Inputs) -> Tensor:
    rows = p["labeled_bs"]
    parts = (i[name][:rows] for name in ("logits", "logits_cross", "logits_within"))
    return supervised_loss(*parts, i["label"][:rows])


def ramp_weights(i: Inputs, p: Inputs) -> list[float]:
    method = build_method(
        "magicnet", {"weight": p["consistency"]}, Network(name="vnet", filters=1), None, facts([1.0, 1.0])
    )
    ramp, times = Ramp(every=p["every"], length=int(p["rampup"])), i["iterations"].tolist()
    return [method.weights(clock(time, max(times) + 1, ramp))["consistency"] for time in times]


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    hyper = {"cube_size": p["cube_size"], "positions": (p["patch_size"] // p["cube_size"]) ** 3}
    method = build_method(
        "magicnet", hyper, Network(name="vnet_magic", filters=16), None, facts([1.0] * p["n_classes"])
    )
    student, head = method.get_submodule("student"), method.get_submodule("location_head")
    counts = {name: count(child) for name, child in student.named_children()}
    embedding = student.features(torch.zeros(1, 1, *[p["cube_size"]] * 3))[-1]  # type: ignore[operator]
    return {
        "total": count(method),
        "encoder": counts["encoder"] + counts["down"],
        "decoder": counts["decoder"] + counts["head"],
        "fc_layer": count(head),
        "logits": shape(student.head(embedding)),  # type: ignore[operator]
        "embedding": shape(embedding),
    }


ADAPTERS = {
    "code/utils/losses.py:DiceLoss.forward": lambda i, p: dice_squared_all(i["prob"], i["label"], smooth=1e-10),
    f"{UTILS}:get_loc_mask": lambda i, p: cb.positions(grid(i["volume"], p)),
    f"{LOSSES}:get_patch_list": lambda i, p: cb.split(i["volume"], p["cube_size"]),
    f"{LOSSES}:unmix_tensor": unmixed,
    f"{UTILS}:get_part_and_rec_ind#cross_mix": lambda i, p: cb.exchange(i["volume"], cb.partition(i["rand"])),
    f"{UTILS}:get_part_and_rec_ind#cross_recover": lambda i, p: cb.exchange(
        i["embedding"], cb.partition(i["rand"]).argsort(0)
    ),
    f"{LOSSES}:cube_location_loss": located,
    f"{UTILS}:OrganClassLogger + {TRAIN}:train": organ_weights,
    f"{TRAIN}:train#blended_pseudo_label": blended_labels,
    f"{TRAIN}:train#supervised": supervised,
    f"{TRAIN}:train#consistency": lambda i, p: dice_loss(i["logits_cross"][p["labeled_bs"] :], blended(i, p).argmax(1)),
    f"{TRAIN}:get_current_consistency_weight": ramp_weights,
    "code/networks/magicnet.py:VNet_Magic": sizes,
}
