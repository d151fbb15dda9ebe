"""Uncertainty rectified pyramid consistency."""

from typing import Any

import torch
from stage import at, batch, cast, clock
from torch import Tensor, nn

from semiseg.method import Terms, TrainingTime, total
from semiseg.methods.urpc import consistency, divergences
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "code/train_uncertainty_rectified_pyramid_consistency_3D.py:training loop"
PORT = "xmed-lab/DHC:code/train_urpc.py:training loop"


class Scales(nn.Module):
    """A network that gives these logits at its scales, whatever the image is."""

    def __init__(self, logits: list[Tensor]) -> None:
        super().__init__()
        self.logits = tuple(logits)

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.logits


def step(i: Inputs, labels: Tensor, rule: str, time: TrainingTime, weight: float) -> Terms:
    """The terms of a step, and its total."""
    logits = i["logits_aux"]
    hyper = {"weight": weight, "supervised": rule}
    method = cast("urpc", "ce_dice_organs", logits[0].shape[1], {"network": Scales(logits)}, **hyper)
    terms = method.losses(batch(labels, len(logits[0])), time)
    return {**terms, "total": total(terms, method.weights(time))}


def ssl4mis(i: Inputs, p: Inputs) -> Terms:
    labels, weight = i["labels"][: p["labeled_bs"]], p.get("consistency", 1.0)
    if "iter_num" not in p:
        return step(i, labels, "half_ce_dice_all", at(0), weight)
    ramp = Ramp(every=150, length=int(p["consistency_rampup"]))
    return step(i, labels, "half_ce_dice_all", clock(p["iter_num"], p["iter_num"] + 1, ramp), weight)


def dhc(i: Inputs, p: Inputs) -> Terms:
    return step(i, i["labels_labelled"].squeeze(1), "half_ce_dice_organs", at(0), p.get("cps_w", 1.0))


def unlabelled(i: Inputs, rows: int) -> list[Tensor]:
    return [logits[rows:] for logits in i["logits_aux"]]


def half(i: Inputs) -> int:
    return len(i["logits_aux"][0]) // 2


ADAPTERS = {
    f"{LOOP}#supervised": lambda i, p: ssl4mis(i, p)["supervised"],
    f"{LOOP}#variance_aux1": lambda i, p: divergences(unlabelled(i, p["labeled_bs"]))[1][0],
    f"{LOOP}#consistency_per_scale": lambda i, p: consistency(unlabelled(i, p["labeled_bs"])),
    f"{LOOP}#consistency": lambda i, p: torch.stack(consistency(unlabelled(i, p["labeled_bs"]))).mean(),
    f"{LOOP}#total": lambda i, p: ssl4mis(i, p)["total"],
    f"{PORT}#dhc_supervised": lambda i, p: dhc(i, p)["supervised"],
    f"{PORT}#dhc_consistency": lambda i, p: torch.stack(consistency(unlabelled(i, half(i)))).mean(),
    f"{PORT}#dhc_total": lambda i, p: dhc(i, p)["total"],
}
