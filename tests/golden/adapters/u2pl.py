"""U2PL."""

from typing import Any

import torch
from stage import at
from torch import Tensor

from semiseg.blocks import voxels
from semiseg.blocks.memory import MemoryBank
from semiseg.blocks.reliability import entropy, falling, percentiles, pseudo_loss, rising
from semiseg.methods.parts import u2pl_contrast
from semiseg.methods.parts.u2pl_teacher import TeacherOutput, split_by_entropy

Inputs = dict[str, Any]
HELPER = "u2pl/utils/loss_helper.py"
ALL = 10**9  # more voxels than any case has


def unsupervised(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    teacher = i["teacher_logits"]
    uncertainty = entropy(teacher.softmax(1))
    loss = pseudo_loss(i["student_logits"], teacher.argmax(1), uncertainty, p["drop_percent"])
    return {"loss": loss, "kept": (uncertainty < percentiles(uncertainty, [p["drop_percent"]])).sum()}


def split(logits: Tensor, labels: Tensor, pseudo: Tensor, percent: float) -> TeacherOutput:
    probabilities = logits.softmax(1)
    return split_by_entropy(labels, pseudo, probabilities, entropy(probabilities[len(labels) :]), percent)


def entropy_split(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, percent = i["teacher_logits"], p["alpha_t"]
    pseudo = logits.argmax(1)
    low, high = percentiles(entropy(logits.softmax(1)), [percent, 100 - percent])
    output = split(logits, pseudo[:0], pseudo, percent)
    return {"low": low, "high": high, "n_low": output.low.sum(), "n_high": output.high.sum()}


def schedules(i: Inputs, p: Inputs) -> list[list[float]]:
    times = [at(epoch, p["total_epochs"]) for epoch in i["epochs"].tolist()]
    drop, low = p["drop_percent"], p["low_entropy_threshold"]
    return [[time.epoch, rising(drop, time), falling(low, time)] for time in times]


def contrast(i: Inputs, p: Inputs) -> dict[str, Any]:
    student, draws, used = i["rep"].requires_grad_(), i["draws"], []
    rules = u2pl_contrast.Rules(
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
    output = split(torch.cat([i["teacher_logits_l"], i["teacher_logits_u"]]), i["label_l"], i["label_u"], p["alpha_t"])
    bank = MemoryBank(p["queue_size"], student.shape[1])
    for number, vectors in enumerate(i["memobank"]):
        bank.push(number, vectors)

    def uniform(count: int) -> Tensor:
        used.append(draws[len(used)])
        return used[-1].view(count)

    loss = u2pl_contrast.contrast(
        lambda places: voxels.gather(student, places),
        lambda places: voxels.gather(i["rep_teacher"], places),
        output,
        bank,
        rules,
        uniform,
    )
    if loss.requires_grad:
        loss.backward()
    return {
        "loss": loss,
        "new_keys": [int(u2pl_contrast.keys(number, output, rules).sum()) for number in range(p["num_classes"])],
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
