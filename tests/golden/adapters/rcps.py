"""Rectified contrastive pseudo supervision."""

from typing import Any

import numpy as np
import torch
from adapters.backbones import count, shape
from stage import clock
from support import params_yaml
from support.facts import facts
from torch import Tensor

from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.sample_dice import dice_per_sample
from semiseg.learning.build import build_method
from semiseg.learning.schedule import TrainingSchedule
from semiseg.methods.parts import rcps_losses
from semiseg.params.config import Network, Optimiser, Ramp, Schedule, Training
from semiseg.scoring.measurements import OrganScore, organ_scores

Inputs = dict[str, Any]
FILE = "models/segmentation_models.py"


def pseudo(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits = i["inputs"].requires_grad_()
    loss = rcps_losses.rectified(logits, i["targets"], p["temp"])
    loss.backward()
    return {"loss": loss, "grad_inputs": logits.grad}


def supervised(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, labels, weights = i["logits"], i["label"].squeeze(1), torch.tensor(p["ce_weight"], dtype=torch.float32)
    return {
        "total": rcps_losses.supervised(logits, labels, weights),
        "dice": dice_per_sample(logits.softmax(1), labels),
        "ce": cross_entropy(logits, labels, weights),
    }


def contrast(i: Inputs, p: Inputs) -> Tensor:
    names = ("input", "positive", "negative", "input_logits", "negative_logits")
    sizes = p["sample_num"], p["temperature"], p["bidirectional"]
    return rcps_losses.contrast(*(i[name] for name in names), *sizes)


def ramped(i: Inputs, p: Inputs) -> list[float]:
    ramp = Ramp(per="epoch", length=p["rampup"])
    return [clock(epoch, epoch + 1, ramp, by="epoch").ramp for epoch in p["epochs"]]


def rates(i: Inputs, p: Inputs) -> list[float]:
    rule = params_yaml.content()["protocols"]["la_rcps"]["training"]["schedule"]
    assert (rule["warmup"], rule["length"]) == (p["warmup"], p["total"] - p["warmup"])
    training = Training.model_construct(
        iterations=None,
        epochs=p["total"],
        optimiser=Optimiser(lr=p["base_lr"], momentum=0.9, weight_decay=0.0),
        schedule=Schedule(**rule),
    )
    return [TrainingSchedule(training, 1).learning_rate(epoch) for epoch in p["epochs"]]


def measured(i: Inputs) -> OrganScore:
    truth, prediction = (i[name][0, 0].numpy() for name in ("gt", "pred"))
    return organ_scores(truth, prediction, [1], np.eye(3))[0]


def pooled(found: OrganScore) -> float:
    """Mean distance of the surface voxels of both masks together."""
    distances, voxels = found.voxel, [found.predicted_surface, found.truth_surface]
    return float(np.average([distances.to_truth_mean, distances.to_prediction_mean], weights=voxels))


def surfaces(i: Inputs, p: Inputs) -> dict[str, float]:
    found = measured(i)
    dice = 2 * found.overlap_voxels / (found.truth_voxels + found.predicted_voxels)
    return {"dice": dice, "hd95": found.voxel.pooled_p95, "asd": pooled(found)}


def medpy(i: Inputs, p: Inputs) -> dict[str, float]:
    found = measured(i)
    return {"hd95": found.voxel.pooled_p95, "asd": found.voxel.to_truth_mean, "assd": pooled(found)}


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours: Any = build_method("rcps", {}, Network(name="vnet", filters=16), None, facts([1.0, 1.0]))
    image = torch.zeros(p["input"])
    with torch.no_grad():
        decoded = ours.network.eval().features(image)
        vectors = ours.projector(decoded[1])
        scales = ours.network.scales(decoded, image.shape[2:])
    names = ("out", "level1", "level2", "level3")
    return {
        "parameters": count(ours),
        "project": shape(vectors),
        "project_map": [*shape(scales[0])[:2], *shape(vectors)[2:]],
        **{name: shape(each) for name, each in zip(names, scales, strict=True)},
    }


ADAPTERS = {
    f"{FILE}:uncertainty_loss": pseudo,
    f"{FILE}:consist_loss": lambda i, p: rcps_losses.cosine(i["inputs"], i["targets"]),
    f"{FILE}:criterion (MONAI DiceCELoss with ce_weight)": supervised,
    "base/base_modules.py:NegativeSamplingPixelContrastiveLoss.forward": contrast,
    f"{FILE}:sigmoid_rampup": ramped,
    "utils/iteration/iterator.py:PolynomialLRWithWarmUp": rates,
    "utils/metric_calculator.py": surfaces,
    "medpy:metric.binary": medpy,
    "models/networks.py:ProjectorUNet": sizes,
}
