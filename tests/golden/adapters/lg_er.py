"""Local and global structure-aware entropy regularised mean teacher."""

from typing import Any
from unittest import mock

from stage import Speaker, at, batch, cast, clock
from torch import Tensor

from semiseg.method import Terms, TrainingTime, total
from semiseg.methods.parts import lg_er_structure as structure
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
FILE = "utils/losses.py"
LOOP = "code/train_LA_mt_ce_alldata_struct.py:training loop"
SIDE = 16  # of the official blocks


def step(i: Inputs, labels: Tensor, places: list[list[int]], time: TrainingTime) -> Terms:
    """The terms of a step whose networks give the logits of a case, and its total."""
    student, teacher = i["student_logits"], i["teacher_logits"]
    networks = {"student": Speaker(student), "teacher": Speaker(teacher)}
    ours = cast("lg_er", "half_ce_dice_fg", student.shape[1], networks, block=SIDE)
    with mock.patch.object(structure, "chosen", side_effect=places):
        terms = ours.losses(batch(labels, len(student)), time)
    return {**terms, "total": total(terms, ours.weights(time))}


def whole(i: Inputs, p: Inputs) -> Tensor:
    time = clock(p["iter_num"], p["iter_num"] + 1, Ramp(every=150, length=40))
    return step(i, i["labels"][: p["labeled_bs"]], [p["ix"], p["iy"], p["iz"]], time)["total"]


def consistent(i: Inputs, p: Inputs) -> Tensor:
    labels = i["student_logits"].argmax(1)[:1]  # the term sees no label
    return step(i, labels, [[0], [0], [0]], at(0))["consistency"]


def local(i: Inputs, p: Inputs) -> Tensor:
    cubes = structure.boxes([p["ix"], p["iy"], p["iz"]], SIDE)
    return structure.local_structure(i["student_logits"].softmax(1), i["teacher_logits"].softmax(1), cubes)


def similarities(i: Inputs, p: Inputs) -> Tensor:
    vectors = structure.directions(i["p"])
    return vectors.transpose(1, 2) @ vectors


ADAPTERS = {
    f"{FILE}:entropy_loss": lambda i, p: structure.entropy(i["prob"]),
    f"{FILE}:prob_2_entropy": lambda i, p: structure.information(i["prob"]),
    f"{FILE}:selfinformation": lambda i, p: structure.global_difference(
        i["student_logits"].softmax(1), i["teacher_logits"].softmax(1)
    ),
    f"{FILE}:sim_dis_compute": lambda i, p: structure.local_difference(i["student_prob"], i["teacher_prob"]),
    f"{FILE}:similarity": similarities,
    f"{FILE}:CriterionPairWiseforWholeFeatAfterPool": local,
    f"{LOOP}#voxel_consistency": consistent,
    f"{LOOP}#total": whole,
}
