"""U2PL."""

from typing import Any

import torch
from stage import at
from torch import Tensor

from semiseg.blocks import voxels
from semiseg.blocks.memory import MemoryBank
from semiseg.blocks.reliability import entropy, percentiles, pseudo_loss, remaining
from semiseg.methods.parts import u2pl_contrast as unreliable

Inputs = dict[str, Any]
HELPER = "u2pl/utils/loss_helper.py"
ALL = 10**9  # more voxels than any case has


def unsupervised(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    teacher = i["teacher_logits"]
    uncertainty = entropy(teacher.softmax(1))
    loss = pseudo_loss(i["student_logits"], teacher.argmax(1), uncertainty, p["drop_percent"])
    return {"loss": loss, "kept": (uncertainty < percentiles(uncertainty, [p["drop_percent"]])).sum()}


def see(logits: Tensor, labels: Tensor, guess: Tensor, percent: float) -> unreliable.Seen:
    probabilities = logits.softmax(1)
    return unreliable.see(labels, guess, probabilities, entropy(probabilities[len(labels) :]), percent)


def entropy_split(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, percent = i["teacher_logits"], p["alpha_t"]
    guess = logits.argmax(1)
    low, high = percentiles(entropy(logits.softmax(1)), [percent, 100 - percent])
    seen = see(logits, guess[:0], guess, percent)
    return {"low": low, "high": high, "n_low": seen.low.sum(), "n_high": seen.high.sum()}


def schedules(i: Inputs, p: Inputs) -> list[list[float]]:
    clocks = [at(epoch, p["total_epochs"]) for epoch in i["epochs"].tolist()]
    drop, low = 100 - p["drop_percent"], p["low_entropy_threshold"]
    return [[clock.epoch, 100 - remaining(drop, clock), remaining(low, clock)] for clock in clocks]


def contrast(i: Inputs, p: Inputs) -> dict[str, Any]:
    student, draws, used = i["rep"].requires_grad_(), i["draws"], []
    rules = unreliable.Rules(
        anchor_probability=p["current_class_threshold"],
        key_probability=p["current_class_negative_threshold"],
        low_rank=p["low_rank"],
        high_rank=p["high_rank"],
        anchors=p["num_queries"],
        keys_per_anchor=p["num_negatives"],
        temperature=p["temperature"],
        prototype_voxels=ALL,
        negatives="official",
        class_index="official",
    )
    seen = see(torch.cat([i["teacher_logits_l"], i["teacher_logits_u"]]), i["label_l"], i["label_u"], p["alpha_t"])
    bank = MemoryBank(p["queue_size"], student.shape[1])
    for number, vectors in enumerate(i["memobank"]):
        bank.push(number, vectors)

    def draw(count: int) -> Tensor:
        used.append(draws[len(used)])
        return used[-1].view(count)

    loss = unreliable.contrast(
        lambda places: voxels.gather(student, places),
        lambda places: voxels.gather(i["rep_teacher"], places),
        *(seen, bank, rules, draw),
    )
    if loss.requires_grad:
        loss.backward()
    return {
        "loss": loss,
        "new_keys": [int(unreliable.keys(number, seen, rules).sum()) for number in range(p["num_classes"])],
        "bank_sizes": [len(bank.queue(number)) for number in range(p["num_classes"])],
        "draws_used": len(used),
        "grad_rep": torch.zeros_like(student) if student.grad is None else student.grad,
    }


ADAPTERS = {
    f"{HELPER}:compute_unsupervised_loss": unsupervised,
    "train_semi.py:train#entropy_split": entropy_split,
    "train_semi.py:train#schedules": schedules,
    f"{HELPER}:compute_contra_memobank_loss": contrast,
}
