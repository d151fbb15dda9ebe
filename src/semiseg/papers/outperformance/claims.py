"""The claims in the tables: in each block and column of means, the paper's own row against the second one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from semiseg.base.metric_names import METRICS
from semiseg.papers.check.numbers import gain
from semiseg.papers.check.prints import Print, grouped, of_tables
from semiseg.papers.outperformance.model import approximate, chance, over_cases, runs, sample, test_cases

ASSUMED = (0.5, 0.9)  # correlations of two methods' values over the cases, where none is measured
CHECKPOINTS = ("last", "best")


@dataclass(frozen=True)
class Claim:
    """A printed number of a paper's own row and the best of the others, of which the paper's is better by ``margin``.

    cases: test cases; None where the paper does not describe them. deviations: sample standard deviations over cases of
    both rows; approximated: how many of the two are not from print.
    """

    first: Print
    second: Print
    margin: Decimal
    cases: int | None
    deviations: tuple[float, float]
    approximated: int

    @property
    def pair(self) -> tuple[str, str]:
        """Both methods, by the names that match rows of all papers."""
        return self.first.method, self.second.method

    def over_cases(self, correlation: float) -> float | None:
        """Probability that the claim is false on other test cases; None where their number is unknown."""
        if self.cases is None:
            return None
        return chance(float(self.margin), *self.deviations, correlation, self.cases)

    def over_runs(self) -> float | None:
        """Probability that it is false in other trainings, which have nothing in common (r = 0).

        None where either row has no spread over runs, or their number is unknown.
        """
        known = [one.spread for one in (self.first, self.second) if one.spread and one.spread_over == "runs"]
        number = runs(self.first.paper, self.first.dataset)
        if len(known) < 2 or number is None:
            return None
        first, second = (sample(float(spread), number) for spread in known)
        return chance(float(self.margin), first, second, 0.0, number)


def claims(numbers: Sequence[Print]) -> tuple[list[Claim], list[Claim]]:
    """The claims in these papers' tables; the second list holds own rows that another row equals or beats."""
    found = [_claim(own, rival) for own, rival in _pairs(numbers)]
    return [one for one in found if one.margin > 0], [one for one in found if one.margin <= 0]


def is_own(one: Print) -> bool:
    """Whether the row is the paper's own method, which has the paper's name, whatever its checkpoint."""
    named = one.method
    for checkpoint in CHECKPOINTS:
        named = named.removesuffix(checkpoint)
    return named == one.paper or _base(one) is not None


def _base(one: Print) -> str | None:
    """Of a row such as ``URPC + PLBOpt`` the row without the paper's method, ``URPC``; else None."""
    base, plus, added = one.row.rpartition(" + ")
    return base if plus and added.lower() == one.paper else None


def _pairs(numbers: Sequence[Print]) -> Iterator[tuple[Print, Print]]:
    """Every own number with the number that it is compared with."""
    names = ("paper", "table", "labelled", "unlabelled", "dataset", "column")
    checkpoints = _checkpoints(numbers)
    for block in grouped(of_tables(numbers), names).values():
        if block[0].column not in METRICS.values():
            continue
        others = [one for one in block if one.value and not one.supervised and not is_own(one)]
        for own in (one for one in block if one.value and is_own(one)):
            base = _base(own)
            rivals = [one for one in others if one.row == base] if base else []
            if kind := checkpoints.get(_row(own)):
                rivals = [one for one in others if checkpoints.get(_row(one)) == kind]
            rivals = rivals or others
            if rivals:
                yield own, max(rivals, key=lambda one: gain(one.column, one.value, own.value))


def _checkpoints(numbers: Sequence[Print]) -> Mapping[tuple[object, ...], str]:
    """Of the rows of which print states it: whether they show the last checkpoint or the best one."""
    return {
        _row(one): kind for one in numbers for kind in CHECKPOINTS if one.note.startswith(f"{kind}-checkpoint block")
    }


def _row(one: Print) -> tuple[object, ...]:
    return one.paper, one.table, one.labelled, one.unlabelled, one.dataset, one.row


def _claim(own: Print, rival: Print) -> Claim:
    cases = test_cases(own.paper, own.dataset)
    n = cases or 2
    known = [over_cases(float(one.spread), one.spread_over, n) if one.spread else None for one in (own, rival)]
    first, second = (
        approximate(one.column, float(one.value), n) if deviation is None else deviation
        for one, deviation in zip((own, rival), known, strict=True)
    )
    return Claim(own, rival, gain(own.column, own.value, rival.value), cases, (first, second), known.count(None))
