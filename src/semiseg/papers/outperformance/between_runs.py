"""How much one computation differs from run to run, as far as print shows it twice."""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from semiseg.base.metric_names import METRICS
from semiseg.base.texts import counted
from semiseg.papers.check.numbers import likeness
from semiseg.papers.check.prints import Print, data, grouped, of_tables
from semiseg.papers.check.section import Line, Section, largest_first
from semiseg.papers.outperformance.claims import Claim

SAME_RULE = (
    "Two rows that are the same computation (papers/check/same.csv), and one method's number in two places under the "
    "same dataset, counts and column. Whatever lies between two runs of one computation is spread between runs: the "
    "least that a margin must exceed before it means anything. The deviation of one printed mean is estimated by the "
    "difference divided by the square root of 2; it rests on one pair and is rough. Numbers that are equal, or equal "
    "once digits are rounded or cut off, are taken for copies and are no second run."
)
SAME_HEADS = ("where", "column", "first", "second", "difference", "deviation", "why")
SMALL_RULE = (
    "Claims in the dataset, counts and column of such a pair, and whether their margin exceeds the difference between"
    " the two runs."
)
SMALL_HEADS = ("where", "column", "own row", "second", "margin", "difference of runs", "")


def same_computation(numbers: Sequence[Print]) -> Section:
    """Pairs of printed numbers of one computation that are not copies of each other, the largest difference first."""
    pairs = _pairs(numbers)
    found: list[tuple[Decimal, Line]] = []
    for one, other, why in pairs:
        size = abs(Decimal(one.value) - Decimal(other.value))
        deviation = f"{float(size) / 2**0.5:.2f}"
        places = one.where if one.where == other.where else f"{one.where}; {other.paper} {other.where}"
        sides = (f"{one.row} {one.value}", f"{other.row} {other.value}")
        found.append((size, (f"{one.paper}, {places}", one.column, *sides, str(size), deviation, why)))
    seen = Counter(likeness(one.value, other.value) for one, other in _twice(numbers))
    across = Counter(likeness(one.value, other.value) for one, other in _twice(numbers) if one.paper != other.paper)
    kinds = ", ".join(f"{across[kind]} {kind}" for kind in ("equal", "rounded", "cut off", "different"))
    within = seen["different"] - across["different"]
    copies = across.total() and not across["different"]
    nothing = " So two papers that print one method give no bound: they print one run." if copies else ""
    summary = (
        f"{counted(seen.total(), 'mean')} of one method stand in two places, {across.total()} of them in two papers:"
        f" {kinds}. Of those within one paper {within} are different.{nothing}"
        f" {counted(len(pairs), 'pair')} of different numbers of one computation."
    )
    return Section("The same computation twice", SAME_RULE, summary, SAME_HEADS, largest_first(found))


def small_margins(numbers: Sequence[Print], claims: Sequence[Claim]) -> Section:
    """The claims beside such a pair."""
    lines = []
    for one, other, _ in _pairs(numbers):
        size = abs(Decimal(one.value) - Decimal(other.value))
        for claim in claims:
            own = claim.first
            if (own.dataset, own.cases, own.column) != (one.dataset, one.cases, one.column):
                continue
            word = "above it" if claim.margin > size else "not above it"
            sides = (f"{own.row} {own.value}", f"{claim.second.row} {claim.second.value}")
            lines.append((f"{own.paper}, {own.where}", own.column, *sides, str(claim.margin), str(size), word))
    below = len({line[:4] for line in lines if line[-1] == "not above it"})
    claimed = counted(len({line[:4] for line in lines}), "claim")
    summary = f"{claimed}: the margin of {below} does not exceed the difference between two runs."
    return Section("Margins and the difference between runs", SMALL_RULE, summary, SMALL_HEADS, tuple(lines))


def _pairs(numbers: Sequence[Print]) -> list[tuple[Print, Print, str]]:
    """Different means of one computation, and why they are known to be one."""
    differing = [
        (one, other, "one method in two tables" if one.paper == other.paper else "one method in two papers")
        for one, other in _twice(numbers)
        if likeness(one.value, other.value) == "different"
    ]
    return [*_known(numbers), *differing]


def _known(numbers: Sequence[Print]) -> Iterator[tuple[Print, Print, str]]:
    """The pairs of papers/check/same.csv."""
    keys = ("paper", "table", "labelled", "unlabelled", "dataset")
    for line in data("same"):
        block = [one for one in _means(numbers) if all(str(getattr(one, key)) == line[key] for key in keys)]
        second = {one.column: one for one in block if one.row == line["other"]}
        for one in block:
            other = second.get(one.column)
            if one.row == line["row"] and other and likeness(one.value, other.value) == "different":
                yield one, other, line["why"]


def _twice(numbers: Sequence[Print]) -> Iterator[tuple[Print, Print]]:
    """One method's mean in two places: the first one and each later one."""
    for first, *others in grouped(_means(numbers), ("dataset", "cases", "method", "column")).values():
        yield from ((first, other) for other in others)


def _means(numbers: Sequence[Print]) -> list[Print]:
    return [one for one in of_tables(numbers) if one.value and one.column in METRICS.values()]
