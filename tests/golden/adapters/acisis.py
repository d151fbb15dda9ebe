"""Class-wise sampling by fuzzy class scores (ACISIS)."""

from typing import Any

import torch
from stage import Holder, Speaker, at, batch, cast
from torch import Tensor

from semiseg.method import total
from semiseg.methods.acisis import complement, fuzzy_ranks, indicators, sampled_confidence

Inputs = dict[str, Any]
CODE = "code/train_acisis.py"


def record(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    rows = indicators(i["logits"], i["label"].squeeze(1))
    return dict(zip(("entropy", "confidence", "variance"), rows, strict=True))


def fusion(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ranks, counting = fuzzy_ranks(i["rows"], p["top_m"], p["P_FR"])
    return {"ranks": ranks, "fusion": complement(counting)}


def sequence(i: Inputs, p: Inputs) -> dict[str, Any]:
    hyper = {"score_momentum": p["momentum"], "top_m": p["top_m"], "rate_power": p["lambda"]}
    ours: Any = cast("acisis", "ce_dice_organs", i["logits"][0].shape[1], {}, **hyper)
    found: dict[str, Any] = {"rates": [], "CC": []}
    for number, (logits, label) in enumerate(zip(i["logits"], i["label"], strict=True), start=1):
        ours.record(logits, label.squeeze(1), number % p["update_iter"] == 0)
        found["rates"].append(ours.rates())
        found["CC"].append(ours.score)
    return found


def mask(i: Inputs, p: Inputs) -> Tensor:
    return sampled_confidence(i["student_logits"][p["labelled_rows"] :], i["rates"], torch.stack(i["rand"]), p["beta"])


def step(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    student, labels = i["student_logits"], i["label"].squeeze(1)[: p["labelled_rows"]]
    networks = {"student": Speaker(student), "teacher": Speaker(i["teacher_logits"])}
    ours: Any = cast("acisis", "ce_dice_organs", student.shape[1], networks, weight=p["cps_w"])
    ours.rates, ours.uniform = lambda: i["rates"], lambda predicted: torch.stack(i["rand"])
    terms = ours.losses(batch(labels, len(student)), at(0))
    return {"sup": terms["supervised"], "unsup": terms["pseudo"], "total": total(terms, ours.weights(at(0)))}


def factors(i: Inputs, p: Inputs) -> list[Tensor]:
    """What is left of a teacher of 1 after one step, beside a student of 0: the factor alpha itself."""
    return [factor(int(epoch), p["alpha"]) for epoch in i["epochs"]]


def factor(epoch: int, decay: float) -> Tensor:
    holders = {"student": Holder(torch.zeros(())), "teacher": Holder(torch.ones(()))}
    ours: Any = cast("acisis", "ce_dice_organs", 2, holders, ema_decay=decay)
    ours.after_step(at(epoch))
    found: Tensor = ours.teacher.value
    return found


ADAPTERS = {
    f"{CODE}:ConfidenceArray.record_data": record,
    f"{CODE}:ConfidenceArray.fuzzy_rank and CFS_func": fusion,
    f"{CODE}:ConfidenceArray.cal_sampling_rate": sequence,
    f"{CODE}:ConfidenceArray.cal_sampling_mask": mask,
    f"{CODE}:training loop": step,
    f"{CODE}:update_ema_variables": factors,
}
