"""The order of cases: which cases the crops of a step come from, as a pure function of (seed, step).

All rules but ``endless``, which is ours, are those of published loaders. Volumes are not read
here, and neither is torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from semiseg.base.errors import UserError
from semiseg.params.config import BatchSize, Training

LABELLED, UNLABELLED = 0, 1  # numbers of the two streams of crops, part of their seeds
ORDER, CROP, REPEATS, STRONG, SECOND = 0, 1, 2, 3, 4  # what a generator draws, part of its seed
Rule = Literal["endless", "two_stream", "two_stream_repeated", "two_loaders", "two_loaders_drop_last", "replaced"]


@dataclass(frozen=True)
class Order:
    """The cases of each step by number, from 0 on, in a labelled and in an unlabelled stream.

    - ``endless``: each list in a random order, then in another one, and so on; no case comes a second time before all
      others have come once.
    - ``two_stream`` (yulequan/UA-MT: code/dataloaders/la_heart.py, HiLab-git/SSL4MIS: code/dataloaders/brats2019.py):
      an epoch is one random order of the labelled list; a rest below a batch is dropped. Each epoch begins a new random
      order of the unlabelled list, so that its uses per case differ.
    - ``two_stream_repeated`` (kimjisoo12/GuidedNet: dataloaders/brats2019.py): as ``two_stream``, with a labelled list
      that is repeated until it is at least as long as the unlabelled list, and then cut to its length at random, once
      for the whole training. A case may come twice in a step.
    - ``two_loaders`` (xmed-lab/DHC: code/train_cps.py, code/data/data_loaders.py): the labelled list is repeated in its
      own order to the length of the unlabelled one; both are shuffled in every epoch. The rest of the lists makes a
      last, smaller step.
    - ``two_loaders_drop_last`` (xmed-lab/DHC: code/train_adsh.py, xmed-lab/GenericSSL, SKCDF): as ``two_loaders``, but
      the rest of the lists is dropped, so that all steps have the same size.
    - ``replaced`` (Yaan-Wang/CRLN): two loaders that draw with replacement, so that each crop is of any case.

    labelled, unlabelled: numbers of cases; size: crops per step; epoch: under ``endless`` and ``replaced``, the stream
    whose one pass is an epoch, or the number of its steps. Raises UserError where a rule would never show some labelled
    case, or could not fill a step.
    """

    rule: Rule
    labelled: int
    unlabelled: int
    size: BatchSize
    epoch: str | int

    @classmethod
    def of(cls, training: Training, cases: Mapping[str, int], *, labelled_only: bool) -> "Order":
        """The order of a training. labelled_only: the whole batch consists of labelled crops, in endless order."""
        size = training.batch
        if labelled_only:
            whole = BatchSize(labelled=size.labelled + size.unlabelled, unlabelled=size.unlabelled)
            epoch = training.epoch if isinstance(training.epoch, int) else "labelled"
            return cls("endless", cases["labelled"], 0, whole, epoch)
        return cls(training.order, cases["labelled"], cases["unlabelled"], size, training.epoch)

    def __post_init__(self) -> None:
        lengths = (self.unlabelled if self.repeats else self.labelled, self.unlabelled)
        short = any(length < count for length, count in zip(lengths, self._counts, strict=True))
        way_out = "set training.order of the protocol to endless, or choose another split"
        found = f"the split has {self.labelled} labelled and {self.unlabelled} unlabelled cases"
        if short and self.rule in ("two_stream", "two_stream_repeated", "two_loaders_drop_last"):
            raise UserError(
                f"{found}, too few for a step of the order {self.rule} with {self._counts[0]} labelled and"
                f" {self._counts[1]} unlabelled crops: {way_out}"
            )
        if self.repeats and self.labelled > self.unlabelled:
            raise UserError(
                f"{found}, and the order {self.rule} cuts the labelled list to the unlabelled one's length, so that"
                f" some cases would never be used: {way_out}"
            )

    @property
    def repeats(self) -> bool:
        """Whether the labelled list is repeated to the length of the unlabelled one."""
        return self.rule in ("two_stream_repeated", "two_loaders", "two_loaders_drop_last")

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch, at least 1."""
        if isinstance(self.epoch, int):
            return self.epoch
        if self.rule == "two_loaders":
            return -(-self.unlabelled // max(self._counts))
        if self.rule == "two_loaders_drop_last":
            return self.unlabelled // max(self._counts)
        if self.rule == "two_stream_repeated":
            return self.unlabelled // self.size.labelled
        if self.rule == "two_stream" or self.epoch == "labelled":
            return max(self.labelled // self.size.labelled, 1)
        return max(self.unlabelled // self.size.unlabelled, 1)

    def cases(self, seed: int, step: int) -> tuple[list[int], list[int]]:
        """Numbers of the labelled and of the unlabelled cases of a step."""
        if self.rule == "replaced":
            first, second = (_drawn([seed, stream, ORDER, step], *one) for stream, one in enumerate(self._streams))
            return first, second
        lists = (self._labelled_list(seed), range(self.unlabelled))
        epoch: list[int] = []
        place = step
        if self.rule != "endless":
            number, place = divmod(step, self.steps_per_epoch)
            epoch = [number]
        found = []
        for stream, cases, count in zip((LABELLED, UNLABELLED), lists, self._counts, strict=True):
            start = place * count
            left = min(count, len(cases) - start) if self.rule == "two_loaders" else count
            found.append(_taken([seed, stream, ORDER, *epoch], cases, start, left) if cases else [])
        return found[0], found[1]

    @property
    def _streams(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Cases, and crops of a step, of the labelled and of the unlabelled stream."""
        return (self.labelled, self.size.labelled), (self.unlabelled, self.size.unlabelled)

    @property
    def _counts(self) -> tuple[int, int]:
        return self.size.labelled, self.size.unlabelled

    def _labelled_list(self, seed: int) -> Sequence[int]:
        """The labelled cases that an epoch shuffles."""
        if not self.repeats:
            return range(self.labelled)
        if self.rule != "two_stream_repeated":
            return [number % self.labelled for number in range(self.unlabelled)]
        copies = -(-self.unlabelled // self.labelled)
        order = np.random.default_rng([seed, LABELLED, REPEATS]).permutation(self.labelled * copies)
        return [int(number) % self.labelled for number in order[: self.unlabelled]]


def _drawn(key: Sequence[int], cases: int, count: int) -> list[int]:
    """``count`` of so many cases, each any of them."""
    return [int(case) for case in np.random.default_rng(key).integers(cases, size=count)]


def _taken(key: Sequence[int], cases: Sequence[int], start: int, count: int) -> list[int]:
    """``count`` cases from position ``start`` on of random orders of all cases, one after the other."""
    orders: dict[int, list[int]] = {}
    found = []
    for position in range(start, start + count):
        number, place = divmod(position, len(cases))
        if number not in orders:
            orders[number] = np.random.default_rng([*key, number]).permutation(len(cases)).tolist()
        found.append(cases[orders[number][place]])
    return found
