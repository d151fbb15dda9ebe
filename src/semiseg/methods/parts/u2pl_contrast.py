"""Unreliable voxels as negatives: the memory and the contrast of U2PL, carried to volumes.

Source: Haochen-Wang409/U2PL: u2pl/utils/loss_helper.py compute_contra_memobank_loss. Two faults of this code are the
default here, because the published runs had them: see ``Rules.negatives`` and ``Rules.class_index``.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.blocks.info_nce import info_nce, ranks
from semiseg.blocks.memory import MemoryBank
from semiseg.methods.parts.u2pl_teacher import TeacherOutput

Vectors = Callable[[Tensor], Tensor]  # places [n] -> vectors [n d]
Uniform = Callable[[int], Tensor]  # n -> random numbers in [0, 1) [n]


class Rules(NamedTuple):
    """Numbers and choices of the contrast.

    anchor_probability: anchors have a larger probability of their class.
    key_probability: keys have a smaller probability of their class.
    low_rank, high_rank: the likeliest class of a voxel has rank 0. A labelled voxel is a key of a class of rank
        0 to ``low_rank`` - 1, an unlabelled one of a class of rank ``low_rank`` to ``high_rank`` - 1.
    anchors: anchors per class; keys_per_anchor: negatives of each anchor.
    prototype_voxels: most voxels of a class that make its prototype.
    negatives: ``official`` also requires that the label of a key is the class itself; this leaves unlabelled voxels on
        whose class the teacher's two passes disagree. ``paper`` does not require it.
    class_index: ``official`` compares the anchors of class i with the memory of the i-th PRESENT class, for i < number
    of
        present classes; ``fixed`` compares them with the memory of class i.
    """

    anchor_probability: float
    key_probability: float
    low_rank: int
    high_rank: int
    anchors: int
    keys_per_anchor: int
    temperature: float
    prototype_voxels: int
    negatives: str
    class_index: str


def keys(number: int, output: TeacherOutput, rules: Rules) -> Tensor:
    """Which voxels enter the memory of class ``number``: bool ``[b z y x]``."""
    probability, is_class = output.probabilities[:, number], output.voxels_of(number)
    rank = (output.probabilities > probability.unsqueeze(1)).sum(1)
    last_rank = output.probabilities.shape[1] - 1
    low_rank = min(rules.low_rank, last_rank)  # with few classes no rank would be left for unlabelled voxels
    labelled = (rank < low_rank) & ~is_class
    unlabelled = (rank >= low_rank) & (rank < rules.high_rank)
    ranked = torch.cat([labelled[: output.labelled], unlabelled[output.labelled :]])
    found = ranked & output.high & (probability < rules.key_probability)
    return found & is_class if rules.negatives == "official" else found


def contrast(
    student: Vectors,
    teacher: Vectors,
    output: TeacherOutput,
    bank: MemoryBank,
    rules: Rules,
    uniform: Uniform | None = None,
) -> Tensor:
    """InfoNCE of the anchors of each class: its prototype is the positive, keys of the memory are the negatives.

    First the memory takes in the new keys. The result is the sum over classes divided by the number of classes that
    have voxels of low entropy; it is 0 if these are fewer than two. A class without anchors or memory adds 0. The
    prototype is the mean over at most ``prototype_voxels`` random voxels of low entropy.

    student, teacher: functions that give the vectors at places, with gradients in the student's alone.
    uniform: source of random numbers, called for the anchors and then the keys of each class; torch's generator by
    default. The host reads numbers of voxels here, so it waits for the GPU.
    """
    uniform = uniform or partial(torch.rand, device=output.labels.device, dtype=torch.float64)
    classes = output.probabilities.shape[1]
    reliable = [output.voxels_of(number) & output.low for number in range(classes)]
    candidates = [
        _places(found & (output.probabilities[:, number] > rules.anchor_probability))
        for number, found in enumerate(reliable)
    ]
    reliable = [_places(found) for found in reliable]
    remember(teacher, output, bank, rules)
    present = [number for number in range(classes) if len(reliable[number])]
    pairs = list(enumerate(present)) if rules.class_index == "official" else [(number, number) for number in present]
    pairs = [(number, memory) for number, memory in pairs if len(candidates[number]) and len(bank.queue(memory))]
    if len(present) < 2 or not pairs:
        return torch.zeros((), device=output.labels.device)
    anchors, positives, negatives = [], [], []
    for number, memory in pairs:
        anchors.append(candidates[number][ranks(uniform(rules.anchors), len(candidates[number]))])
        queue = bank.queue(memory)
        chosen = ranks(uniform(rules.anchors * rules.keys_per_anchor), len(queue)).view(rules.anchors, -1)
        positives.append(prototype(teacher, reliable[number], rules.prototype_voxels))
        negatives.append(queue[chosen])
    vectors = student(torch.cat(anchors)).chunk(len(pairs))
    losses = [
        info_nce(of_class, positive, others, rules.temperature)
        for of_class, positive, others in zip(vectors, positives, negatives, strict=True)
    ]
    return torch.stack(losses).sum() / len(present)


@torch.no_grad()
def remember(teacher: Vectors, output: TeacherOutput, bank: MemoryBank, rules: Rules) -> None:
    """Push the vectors of the keys of every class in C order; of more than the memory holds only the last ones."""
    for number, size in enumerate(bank.sizes):
        places = _places(keys(number, output, rules))[-size:]
        if len(places):
            bank.push(number, teacher(places))


@torch.no_grad()
def prototype(teacher: Vectors, places: Tensor, most: int) -> Tensor:
    """Mean vector ``[d]`` of the voxels at places ``[n]``; of more than ``most`` voxels, the mean of ``most`` of them.

    The places are then cut into ``most`` equal stretches, and one random voxel is taken from each.
    """
    size = len(places)
    if size > most:
        stretches = torch.arange(most, device=places.device)
        offset = torch.rand(most, device=places.device, dtype=torch.float64)
        places = places[((stretches + offset) * (size / most)).long().clamp(max=size - 1)]
    return teacher(places).mean(0)


def _places(mask: Tensor) -> Tensor:
    """Places ``[n]`` of the voxels of a mask ``[b z y x]``, in C order."""
    return mask.flatten().nonzero().squeeze(1)
