"""Uncertainty-aware Mean Teacher."""

from typing import Any

from stage import Holder, Speaker, at, batch, cast, clock
from torch import Tensor

from semiseg.blocks.consistency import threshold
from semiseg.blocks.losses import entropy
from semiseg.blocks.ramps import poly
from semiseg.method import TrainingTime, total
from semiseg.methods.ua_mt import certain, consistency, mean_probabilities
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "code/train_LA_meanteacher_certainty_unlabel.py:training loop"
DHC = "xmed-lab/DHC:code/train_uamt.py"


def mean(i: Inputs) -> Tensor:
    return mean_probabilities(i["teacher_mc_logits"], len(i["teacher_mc_logits"]))


def masked_consistency(i: Inputs, time: int, length: int) -> Tensor:
    teacher = i["teacher_logits_unlabelled"]
    return consistency(i["student_logits"][-len(teacher) :], teacher, certain(mean(i), threshold(time, length)))


def step_total(i: Inputs, labels: Tensor, rule: str, time: TrainingTime, **hyper: Any) -> Tensor:
    student, passes = i["student_logits"], i["teacher_mc_logits"]
    speakers = {"student": Speaker(student), "teacher": Speaker(i["teacher_logits_unlabelled"], *passes)}
    method = cast("ua_mt", rule, student.shape[1], speakers, rounds=len(passes), **hyper)
    terms = method.losses(batch(labels, len(student)), time)
    return total(terms, method.weights(time))


def official_total(i: Inputs, p: Inputs, supervised: str) -> Tensor:
    ramp = Ramp(every=150, length=int(p["consistency_rampup"]))
    time = clock(p["iter_num"], p["max_iterations"], ramp)
    return step_total(i, i["labels"][: p["labeled_bs"]], supervised, time, weight=p["consistency"])


def dhc_total(i: Inputs, p: Inputs) -> Tensor:
    time = at(p["epoch_num"], p["max_epoch"])
    hyper = {"weight": p["cps_w"], "threshold_clock": "epoch", "supervised": "half_ce_dice_organs"}
    return step_total(i, i["labels_labelled"].squeeze(1), "ce_dice_organs", time, **hyper)


def teacher_after_step(i: Inputs, p: Inputs) -> Tensor:
    holders = {"student": Holder(i["student"]), "teacher": Holder(i["teacher"])}
    method = cast("ua_mt", "ce_dice_organs", 2, holders, ema_decay=p["alpha"], ema_clock="epoch")
    method.after_step(TrainingTime(10**6, 10**6, p["global_step"], 10**6, 1.0))
    return method.teacher.value  # type: ignore[union-attr, return-value]


ADAPTERS = {
    f"{LOOP}#uncertainty_T8": lambda i, p: entropy(mean(i)),
    f"{LOOP}#masked_consistency": lambda i, p: masked_consistency(i, p["iter_num"], p["max_iterations"]),
    f"{LOOP}#total": lambda i, p: official_total(i, p, "half_ce_dice_fg"),
    f"{LOOP}#kept_voxels": lambda i, p: certain(mean(i), threshold(p["iter_num"], p["max_iterations"])).sum(),
    f"{DHC}:training loop#dhc_masked_consistency": lambda i, p: masked_consistency(i, p["epoch_num"], p["max_epoch"]),
    f"{DHC}:training loop#dhc_total": dhc_total,
    f"{DHC}:training loop#dhc_kept_voxels": lambda i, p: certain(
        mean(i), threshold(p["epoch_num"], p["max_epoch"])
    ).sum(),
    "HiLab-git/SSL4MIS:code/train_uncertainty_aware_mean_teacher_3D.py:training loop": lambda i, p: official_total(
        i, p, "half_ce_dice_all"
    ),
    f"{DHC}:update_ema_variables": teacher_after_step,
    "xmed-lab/DHC:code/utils/__init__.py:poly_lr": lambda i, p: [
        poly(p["initial_lr"], epoch, p["max_epochs"], p["exponent"]) for epoch in i["epoch"].tolist()
    ],
}
