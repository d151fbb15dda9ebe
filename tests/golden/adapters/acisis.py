"""Class-wise sampling with a mean teacher (Basak et al.)."""

from typing import Any

import torch
from stage import Speaker, at, batch, cast
from torch import Tensor

from semiseg.blocks.ema import warm_alpha
from semiseg.method import total
from semiseg.methods.acisis import sampled_confidence
from semiseg.methods.parts.acisis_scores import fused, fuzzy_ranks, indicators

Inputs = dict[str, Any]
CODE = "code/train_acisis.py"


def recorded(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    rows = indicators(i["logits"], i["label"].squeeze(1))
    return dict(zip(("entropy", "confidence", "variance"), rows, strict=True))


def fusion(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ranks, scores = fuzzy_ranks(i["rows"], p["top_m"], p["P_FR"])
    return {"ranks": ranks, "fusion": fused(scores)}


def rates(i: Inputs, p: Inputs) -> dict[str, Any]:
    hyper = {"top_m": p["top_m"], "score_momentum": p["momentum"], "rate_power": p["lambda"]}
    ours: Any = cast("acisis", "ce_dice_organs", i["logits"][0].shape[1], {}, **hyper)
    found: dict[str, Any] = {"rates": [], "CC": []}
    for step, (logits, label) in enumerate(zip(i["logits"], i["label"], strict=True)):
        ours.scores.record(logits, label.squeeze(1), per_item=False)
        if (step + 1) % p["update_iter"] == 0:
            ours.scores.update()
        found["rates"].append(ours.rates())
        found["CC"].append(ours.scores.score)
    return found


def step(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    speakers = {"student": Speaker(i["student_logits"]), "teacher": Speaker(i["teacher_logits"])}
    ours: Any = cast("acisis", "ce_dice_organs", len(i["rates"]), speakers, weight=p["cps_w"])
    ours.rates = lambda: i["rates"]
    ours.uniform = lambda target: torch.stack(i["rand"])
    labels = i["label"].squeeze(1)[: p["labelled_rows"]]
    terms = ours.losses(batch(labels, len(i["student_logits"])), at(0))
    return {"sup": terms["supervised"], "unsup": terms["pseudo"], "total": total(terms, ours.weights(at(0)))}


ADAPTERS = {
    f"{CODE}:ConfidenceArray.record_data": recorded,
    f"{CODE}:ConfidenceArray.fuzzy_rank and CFS_func": fusion,
    f"{CODE}:ConfidenceArray.cal_sampling_rate": rates,
    f"{CODE}:ConfidenceArray.cal_sampling_mask": lambda i, p: sampled_confidence(
        i["student_logits"][p["labelled_rows"] :], i["rates"], p["beta"], torch.stack(i["rand"])
    ),
    f"{CODE}:training loop": step,
    f"{CODE}:update_ema_variables": lambda i, p: [warm_alpha(epoch, p["alpha"]) for epoch in i["epochs"].tolist()],
}
