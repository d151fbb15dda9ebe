"""Adaptive thresholding (Adsh)."""

from typing import Any

from stage import at, cast, co_training_step, views
from torch import Tensor

from semiseg.methods.adsh import passes

Inputs = dict[str, Any]
CODE = "code/train_adsh.py"


def method(logits: Tensor, maps: int = 4, **hyper: Any) -> Any:
    _, classes, z, y, x = logits.shape
    return cast("adsh", "ce_dice_organs", classes, {}, patch=(z, y, x), unlabelled_cases=4 * maps, **hyper)


def thresholds(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = method(i["logits"][0], p["tot_iter"], major=p["thresh_major"])
    found: dict[str, Any] = {"thresholds": [], "fill_counter": []}
    for logits in i["logits"]:
        ours.observe(*views(ours, 0, logits, logits), logits, at(0))
        found["thresholds"].append(ours.thresholds_a)
        found["fill_counter"].append(ours.filled)
    return found


def masked(i: Inputs, p: Inputs) -> Tensor:
    ours = method(i["logits_A"])
    ours.thresholds_b = i["thresholds_B"]
    loss: Tensor = ours.cross(*views(ours, 0, i["logits_A"], i["logits_B"]))
    return loss


def step(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ours = method(i["logits_A"], weight=p["cps_w"])
    ours.thresholds_a, ours.thresholds_b = i["thresholds_A"], i["thresholds_B"]
    return co_training_step(ours, i, p)


ADAPTERS = {
    f"{CODE}:ADSH.get_thresholds": thresholds,
    f"{CODE}:ADSH.cal_sampling_mask": lambda i, p: passes(i["logits"], i["thresholds"]).float(),
    "code/utils/loss.py:ClassDependent_WeightedCrossEntropyLoss.forward": masked,
    f"{CODE}:training loop": step,
}
