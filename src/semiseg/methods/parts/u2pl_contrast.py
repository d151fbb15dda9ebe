"""Unreliable voxels as negatives: the memory and the contrast of U2PL, carried to volumes.

Source: Haochen-Wang409/U2PL: u2pl/utils/loss_helper.py compute_contra_memobank_loss. Two faults of it are the default,
because the published runs had them: see ``Rules.negatives`` and ``Rules.class_index``.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.blocks.info_nce import Groups, by_class, info_nce, ranks
from semiseg.blocks.memory import MemoryBank
from semiseg.blocks.reliability import percentiles

Vectors = Callable[[Tensor], Tensor]  # places [n] -> vectors [n d]
Draw = Callable[[int], Tensor]  # n -> uniform numbers in [0, 1) [n]


class Rules(NamedTuple):
    """Numbers and choices of the contrast.

    anchor_probability: anchors exceed it; key_probability: keys stay below it.
    low_rank, high_rank: a key's class is among the ``low_rank`` likeliest of a labelled voxel, and has a rank from
        ``low_rank`` to ``high_rank`` - 1 (the likeliest has 0) in an unlabelled one.
    negatives: ``official`` also wants keys of a class to have that very label, which leaves unlabelled voxels whose two
        teacher predictions disagree; ``paper`` does not.
    class_index: ``official`` pairs the anchors of class i with the memory of the i-th PRESENT class, i < number of
        present classes; ``fixed`` with the memory of class i.
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


class Seen(NamedTuple):
    """What the teacher says: (pseudo) labels ``[b z y x]``, probabilities ``[b k z y x]``, masks ``[b z y x]``.

    The first ``labelled`` items have true labels; low and high entropy are both true there. See ``see``.
    """

    labels: Tensor
    probabilities: Tensor
    low: Tensor
    high: Tensor
    labelled: int


def see(labels: Tensor, guess: Tensor, probabilities: Tensor, uncertainty: Tensor, percent: float) -> Seen:
    """Low entropy are the ``percent`` percentile and below, high the 100 - ``percent`` percentile and above.

    labels: ``[b z y x]``; pseudo labels and uncertainty, over which the percentiles are taken: ``[u z y x]``;
    probabilities: ``[b+u k z y x]``.
    """
    low, high = percentiles(uncertainty, [percent, 100 - percent])
    known = torch.ones_like(labels, dtype=torch.bool)
    reliable, unreliable = (torch.cat([known, mask]) for mask in (uncertainty <= low, uncertainty >= high))
    return Seen(torch.cat([labels, guess]), probabilities, reliable, unreliable, len(labels))


def keys(number: int, seen: Seen, rules: Rules) -> Tensor:
    """Voxels that enter the memory of class ``number``: bool ``[b z y x]``."""
    own, labels = seen.probabilities[:, number], seen.labels == number
    rank, lowest = (seen.probabilities > own.unsqueeze(1)).sum(1), seen.probabilities.shape[1] - 1
    first = min(rules.low_rank, lowest)  # few classes have no further rank
    known, guessed = (rank < first) & ~labels, (rank >= first) & (rank < rules.high_rank)
    found = torch.cat([known[: seen.labelled], guessed[seen.labelled :]]) & seen.high & (own < rules.key_probability)
    return found & labels if rules.negatives == "official" else found


def contrast(
    student: Vectors, teacher: Vectors, seen: Seen, bank: MemoryBank, rules: Rules, draw: Draw | None = None
) -> Tensor:
    """InfoNCE of each class's reliable voxels: prototype against keys of the memory, which first takes in new keys.

    Sum over classes over the number of classes with reliable voxels; 0 if these are fewer than two. A class without
    anchors or memory adds 0. The prototype is the mean over at most ``prototype_voxels`` random voxels.

    student, teacher: vectors at places, only the first with gradients; draw: called for anchors, then keys of each
    class; torch's generator unless given. The host learns the numbers of voxels here: it waits for the GPU.
    """
    draw = draw or partial(torch.rand, device=seen.labels.device, dtype=torch.float64)
    classes = seen.probabilities.shape[1]
    own = seen.probabilities.gather(1, seen.labels.unsqueeze(1)).squeeze(1)
    low = by_class(torch.where(seen.low, seen.labels, classes), classes)
    sure = by_class(torch.where(seen.low & (own > rules.anchor_probability), seen.labels, classes), classes)
    low_sizes, sure_sizes = torch.stack([low.sizes, sure.sizes]).tolist()
    remember(teacher, seen, bank, rules)
    present = [number for number in range(classes) if low_sizes[number]]
    pairs = list(enumerate(present)) if rules.class_index == "official" else [(number, number) for number in present]
    pairs = [(number, memory) for number, memory in pairs if sure_sizes[number] and len(bank.queue(memory))]
    if len(present) < 2 or not pairs:
        return torch.zeros((), device=seen.labels.device)
    anchors, against = [], []
    for number, memory in pairs:
        anchors.append(sure.of(number).inside(draw(rules.anchors).unsqueeze(0)).squeeze(0))
        queue = bank.queue(memory)
        numbers = ranks(draw(rules.anchors * rules.keys_per_anchor), len(queue)).view(rules.anchors, -1)
        positive = prototype(teacher, low.of(number), low_sizes[number], rules.prototype_voxels)
        against.append((positive, queue[numbers]))
    vectors = student(torch.cat(anchors)).chunk(len(pairs))
    each = [info_nce(mine, *others, rules.temperature) for mine, others in zip(vectors, against, strict=True)]
    return torch.stack(each).sum() / len(present)


@torch.no_grad()
def remember(teacher: Vectors, seen: Seen, bank: MemoryBank, rules: Rules) -> None:
    """Push the vectors of the keys of every class, in C order; of more than the memory holds only the last ones."""
    for number, size in enumerate(bank.sizes):
        places = keys(number, seen, rules).flatten().nonzero().squeeze(1)[-size:]
        if len(places):
            bank.push(number, teacher(places))


@torch.no_grad()
def prototype(teacher: Vectors, group: Groups, size: int, most: int) -> Tensor:
    """Mean vector ``[d]`` of a group of ``size`` voxels, or of ``most`` random ones, one from each equal stretch."""
    rank = torch.arange(min(size, most), device=group.places.device)
    if size > most:
        draws = torch.rand(most, device=rank.device, dtype=torch.float64)
        rank = ((rank + draws) * (size / most)).long().clamp(max=size - 1)
    return teacher(group.places[group.starts + rank]).mean(0)
