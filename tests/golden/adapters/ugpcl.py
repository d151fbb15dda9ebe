"""Uncertainty-guided pixel contrastive learning."""

from typing import Any

import torch
from stage import at
from support.facts import facts
from torch import Tensor

from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.consistency import consistency, threshold
from semiseg.blocks.losses import dice_squared_organs
from semiseg.learning.build import build_method
from semiseg.method import total
from semiseg.methods.parts import ugpcl_contrast
from semiseg.methods.ugpcl import UGPCL, supervised_loss
from semiseg.params.config import Network

Inputs = dict[str, Any]
KERNEL = "codes/losses/pixel_contras_loss.py:PixelContrastLoss"
STEP = "codes/trainers/ugpcl_trainer.py:train_step"
BASE_TEMPERATURE = UGPCL.base_temperature.default  # the official default, which cases without this parameter mean


def method(**hyper: Any) -> Any:
    return build_method("ugpcl", hyper, Network(name="unet3d", filters=1), None, facts([1.0, 1.0]))


def supervised(i: Inputs, p: Inputs) -> Tensor:
    names = {"supervised": "logits", "supervised_second": "logits2"}
    terms = {term: supervised_loss(i[name][: p["labeled_bs"]], i["label"]) for term, name in names.items()}
    return total(terms, method().weights(at(0)))


def pseudo(i: Inputs, p: Inputs, first: int) -> Tensor:
    return ugpcl_contrast.certain_labels(i["logits"][first:], i["logits2"][first:], threshold(p["step"], p["max_iter"]))


def known(i: Inputs, p: Inputs) -> Tensor:
    return torch.cat([i["label"], pseudo(i, p, p["labeled_bs"])])


def certain(i: Inputs, p: Inputs) -> dict[str, Any]:
    classes = i["logits"].shape[1]
    return {
        "threshold": threshold(p["step"], p["max_iter"]),
        "n_masked": (pseudo(i, p, 0) == ugpcl_contrast.IGNORED).sum(),
        "histogram": class_counts(known(i, p) - ugpcl_contrast.IGNORED, classes + 1).sum(0),
    }


def of_given(i: Inputs, p: Inputs, keys: ugpcl_contrast.Keys) -> Tensor:
    vectors, classes = i["anchors"].flatten(0, 1), i["anchor_labels"]
    anchors = ugpcl_contrast.Anchors(vectors, classes, torch.ones_like(classes, dtype=torch.bool))
    return ugpcl_contrast.contrast(anchors, keys, p["temperature"], p["base_temperature"])


def contrast_full(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    embedding, classes = i["embed"], i["logits"].shape[1]
    labels, predicted = (ugpcl_contrast.resized(each, embedding) for each in (known(i, p), i["logits"].argmax(1)))
    voxels = labels[0].numel()
    first_wins = torch.arange(voxels, 0, -1).expand(len(labels), -1) / (voxels + 1)
    anchors = ugpcl_contrast.sample(embedding, labels, predicted, classes, first_wins)
    loss = ugpcl_contrast.contrast(
        anchors, ugpcl_contrast.keys(i["queue"], "zeros"), p["temperature"], BASE_TEMPERATURE
    )
    return {"loss": loss, "anchor_labels": anchors.classes[anchors.present].float()}


def queue_update(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    classes = len(i["queue"])
    means, present = ugpcl_contrast.class_means(i["embed"], ugpcl_contrast.resized(known(i, p), i["embed"]), classes)
    slots = torch.zeros(classes, dtype=torch.long)
    queue, pointers = ugpcl_contrast.enqueue(i["queue"], slots, means, present)
    return {"queue": queue, "pointers": pointers}


def ramp_weights(i: Inputs, p: Inputs) -> list[float]:
    ours, whole = method(weight=p["consistency"], ramp_every=p["every"]), int(p["rampup"] * p["every"])
    return [ours.weights(at(time, whole))["consistency"] for time in i["iterations"].tolist()]


ADAPTERS = {
    "codes/losses/losses.py:DiceLoss_": lambda i, p: (
        p["weight"] * dice_squared_organs(i["logits"][: len(i["label"])].softmax(1), i["label"])
    ),
    f"{STEP}#supervised": supervised,
    f"{STEP}#consistency": lambda i, p: consistency(i["logits"][p["labeled_bs"] :], i["logits2"][p["labeled_bs"] :]),
    f"{STEP}#certain_labels": certain,
    f"{KERNEL}._contrastive#contrast_queue": lambda i, p: of_given(i, p, ugpcl_contrast.keys(i["queue"], "zeros")),
    f"{KERNEL}._contrastive#contrast_no_queue": lambda i, p: of_given(
        i, p, ugpcl_contrast.Keys(i["anchors"].flatten(0, 1), i["anchor_labels"])
    ),
    f"{KERNEL}.forward": contrast_full,
    "codes/trainers/ugpcl_trainer.py:_dequeue_and_enqueue": queue_update,
    f"{STEP}#rampup": ramp_weights,
}
