"""Calibrating Label Distribution."""

from typing import Any

import torch
from stage import cast, co_training_step
from torch import Tensor

from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.class_weights import rarity_weights, sampling_rate
from semiseg.blocks.losses import ce_dice_organs, cross_entropy, dice_linear_organs, masked_cross_entropy
from semiseg.methods.cld import ConfidenceBank

Inputs = dict[str, Any]
CODE = "code/train_cld.py"
LOSS = "code/utils/loss.py"


def rarity(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    counts = sum(class_counts(volume.unsqueeze(0), p["num_classes"]).sum(0) for volume in i["volumes"])
    assert isinstance(counts, Tensor)
    return {"counts": counts, "weight": rarity_weights(counts)}


def supervised(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, label, weight = i["logits"][: p["labelled_rows"]], i["label"].squeeze(1), i["weight"]
    return {
        "loss": ce_dice_organs(logits, label, weight),
        "ce_only": cross_entropy(logits, label, weight),
        "dice_only": dice_linear_organs(logits.softmax(1), label, 1.0, weight),
    }


def confidence(i: Inputs, p: Inputs) -> list[Tensor]:
    bank, found = ConfidenceBank(torch.full((p["num_classes"],), p["initial"]), p["update_iter"], p["momentum"]), []
    for iteration, (logits, label) in enumerate(zip(i["logits"], i["label"], strict=True)):
        bank.record(logits, label.squeeze(1), iteration)
        found.append(bank.confidence)
    return found


def method(i: Inputs, p: Inputs) -> Any:
    """Networks, class weights, banks and random numbers as given; the banks do not change in the first step."""
    given = {ours: p[theirs] for theirs, ours in (("cps_w", "weight"), ("min_sr", "min_sr")) if theirs in p}
    ours: Any = cast("cld", "ce_dice_organs", i["logits_A"].shape[1], {}, **given)
    ours.bank_a.confidence = ours.bank_b.confidence = i["confidence"]
    maps = iter([torch.stack(i[name]) for name in ("rand_A", "rand_B") if name in i])
    ours.uniform = lambda predicted: next(maps)
    return ours


def mask(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ours = method(i, p)
    kept = ours.kept(i["logits_A"].argmax(1), ours.bank_a)
    return {"kept": kept.sum(), "mask": kept}


def masked(i: Inputs, p: Inputs) -> Tensor:
    ours, a, b = method(i, p), i["logits_A"], i["logits_B"]
    return masked_cross_entropy(a, b.argmax(1), ours.kept(a.argmax(1), ours.bank_a), i["weight"])


def step(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ours = method(i, p)
    ours.class_weights = i["weight"]
    return co_training_step(ours, i, p)


ADAPTERS = {
    f"{CODE}:Synapse_AMOS_cld.weight": rarity,
    f"{LOSS}:DC_and_CE_loss.forward": supervised,
    f"{CODE}:ConfidenceBank.record_data": confidence,
    f"{CODE}:cal_sampling_rate": lambda i, p: sampling_rate(i["confidence"], p["gamma"]),
    f"{CODE}:cal_sampling_mask": mask,
    f"{LOSS}:WeightedCrossEntropyLoss.forward": masked,
    f"{CODE}:training loop": step,
}
