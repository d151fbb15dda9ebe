"""Dual-debiased Heterogeneous Co-training."""

from typing import Any

from stage import Speaker, at, batch, cast
from torch import Tensor

from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.class_weights import knowledge_weights
from semiseg.method import Method, total

Inputs = dict[str, Any]
CODE = "code/train_dhc.py"


def method(classes: int, volume: Tensor | None = None, **hyper: Any) -> Any:
    voxels = None if volume is None else class_counts(volume.unsqueeze(0), classes).sum(0)
    return cast("dhc", "ce_dice_organs", classes, {}, voxels, **hyper)


def distribution(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = method(p["num_classes"], i["volume"], momentum=p["momentum"])
    return {
        "init": ours.distribution_weights,
        "after_each_step": [ours.update_distribution(each.argmax(1)) for each in i["logits"]],
    }


def difficulty(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = method(p["num_classes"], accumulate=p["accumulate_iters"])
    found: dict[str, Any] = {"init": ours.difficulty_weights(), "weights": [], "dice": []}
    for logits, label in zip(i["logits"], i["label"], strict=True):
        found["weights"].append(ours.update_difficulty(logits.argmax(1), label.squeeze(1)))
        found["dice"].append(ours.difficulty.dice)
    return found


def step(i: Inputs, p: Inputs) -> dict[str, Any]:
    a, b, label = i["logits_A"], i["logits_B"], i["label"].squeeze(1)
    hyper = {"accumulate": p["accumulate_iters"], "momentum": p["momentum"], "weight": p["cps_w"]}
    ours: Method = method(a.shape[1], i["volume"], **hyper)
    ours.a, ours.b = Speaker(a), Speaker(b)
    terms = ours.losses(batch(label[: p["labelled_rows"]], len(a)), at(0))
    return {
        "weight_A": ours.difficulty_weights(),  # type: ignore[operator]
        "weight_B": ours.distribution_weights,
        "sup_A": terms["supervised_a"],
        "sup_B": terms["supervised_b"],
        "cps_A": terms["cross_a"],
        "cps_B": terms["cross_b"],
        "total": total(terms, ours.weights(at(0))),
    }


ADAPTERS = {
    f"{CODE}:DistDW._cal_weights": lambda i, p: knowledge_weights(i["counts"]),
    f"{CODE}:DistDW.init_weights and get_ema_weights": distribution,
    f"{CODE}:DiffDW.cal_weights": difficulty,
    f"{CODE}:training loop": step,
}
