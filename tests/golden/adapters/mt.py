"""Mean Teacher."""

from typing import Any

from stage import Holder, Speaker, at, batch, cast, clock
from torch import Tensor

from semiseg.blocks.consistency import consistency
from semiseg.blocks.losses import half_ce_dice_all
from semiseg.blocks.ramps import poly
from semiseg.method import total
from semiseg.params.config import Ramp

Inputs = dict[str, Any]


def step_total(i: Inputs, p: Inputs) -> Tensor:
    speakers = {"student": Speaker(i["student_logits"]), "teacher": Speaker(i["teacher_logits_unlabelled"])}
    method = cast("mt", "half_ce_dice_all", p["n_classes"], speakers, weight=p["consistency"])
    ramp = Ramp(every=150, length=int(p["consistency_rampup"]))
    progress = clock(p["iter_num"], p["iter_num"] + 1, ramp)
    terms = method.losses(batch(i["labels"][: p["labeled_bs"]], len(i["student_logits"])), progress)
    return total(terms, method.weights(progress))


def teacher_after_step(i: Inputs, p: Inputs) -> Tensor:
    holders = {"student": Holder(i["student"]), "teacher": Holder(i["teacher"])}
    method = cast("mt", "half_ce_dice_all", 2, holders, ema_decay=p["alpha"])
    method.after_step(at(p["global_step"]))
    return method.teacher.value  # type: ignore[union-attr, return-value]


ADAPTERS = {
    "code/train_mean_teacher_3D.py:training loop#consistency_mse": lambda i, p: consistency(
        i["student_logits"][p["labeled_bs"] :], i["teacher_logits_unlabelled"]
    ),
    "code/train_mean_teacher_3D.py:training loop#supervised": lambda i, p: half_ce_dice_all(
        i["student_logits"][: p["labeled_bs"]], i["labels"][: p["labeled_bs"]]
    ),
    "code/train_mean_teacher_3D.py:training loop#total": step_total,
    "code/train_mean_teacher_3D.py:update_ema_variables": teacher_after_step,
    "code/train_mean_teacher_3D.py:training loop#poly_lr": lambda i, p: [
        poly(p["base_lr"], t, p["max_iterations"], p["power"]) for t in i["iter_num"].tolist()
    ],
}
