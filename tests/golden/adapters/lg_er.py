"""LG-ER-MT."""

from typing import Any

import torch
from stage import Speaker, batch, cast, clock
from torch import Tensor

from semiseg.method import Terms, total
from semiseg.methods.lg_er import (
    global_structure,
    local_structure,
    mean_entropy,
    products,
    self_information,
    similarity_loss,
    unit_vectors,
)
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "code/train_LA_mt_ce_alldata_struct.py:training loop"
LOSSES = "utils/losses.py"
BLOCK = 16  # side that the official function has


def softmaxes(i: Inputs) -> tuple[Tensor, Tensor]:
    return i["student_logits"].softmax(1), i["teacher_logits"].softmax(1)


def chosen(p: Inputs) -> list[list[int]]:
    return [p[name] for name in ("ix", "iy", "iz")]


def step(i: Inputs, p: Inputs) -> Terms:
    """The terms of a step with given blocks, and its total."""
    student, teacher = i["student_logits"], i["teacher_logits"]
    speakers = {"student": Speaker(student), "teacher": Speaker(teacher)}
    method: Any = cast("lg_er", "half_ce_dice_fg", student.shape[1], speakers, block=BLOCK)
    if "ix" in p:
        method.chosen = lambda sides: chosen(p)
    labels = i.get("labels", torch.zeros(len(student), *student.shape[2:], dtype=torch.int64))
    now = clock(p.get("iter_num", 0), 10**6, Ramp(every=150, length=int(p.get("consistency_rampup", 40))))
    terms: Terms = method.losses(batch(labels[: p.get("labeled_bs", len(labels) // 2)], len(student)), now)
    return {**terms, "total": total(terms, method.weights(now))}


def similarity(i: Inputs, p: Inputs) -> Tensor:
    vectors = unit_vectors(i["p"]).transpose(1, 2)
    return products(vectors, vectors)


ADAPTERS = {
    f"{LOSSES}:entropy_loss": lambda i, p: mean_entropy(i["prob"]),
    f"{LOSSES}:prob_2_entropy": lambda i, p: self_information(i["prob"]),
    f"{LOSSES}:selfinformation": lambda i, p: global_structure(*softmaxes(i)),
    f"{LOSSES}:sim_dis_compute": lambda i, p: similarity_loss(i["student_prob"], i["teacher_prob"]),
    f"{LOSSES}:similarity": similarity,
    f"{LOSSES}:CriterionPairWiseforWholeFeatAfterPool": lambda i, p: local_structure(*softmaxes(i), chosen(p), BLOCK),
    f"{LOOP}#voxel_consistency": lambda i, p: step(i, p)["consistency"],
    f"{LOOP}#total": lambda i, p: step(i, p)["total"],
}
