"""The same experiment in two places: two papers, or two tables of one paper."""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import combinations

from semiseg.papers.check.numbers import likeness
from semiseg.papers.check.prints import Print, grouped, of_tables, rows
from semiseg.papers.check.section import Line, Section, largest_first

RULE = (
    "The same dataset, counts, method and column in two tables, of one paper or of two; the first table is compared "
    "with each later one, value with value and spread with spread. Names are matched by papers/check/rows.csv "
    "('Sup only', '3D U-Net' and 'Fully' are one row), and DVCL's 42:420 is taken for the 42:378 of its text. Numbers "
    "of different length agree when the longer one rounds to the shorter one; 'cut off' marks those that agree once "
    "its further digits are dropped. An equal number may be copied or run again: the papers do not state which."
)
HEADS = ("dataset", "cases", "method", "column", "first", "", "second", "", "")
TWIN_RULE = (
    "Two rows of one paper, same dataset and counts, that print equal numbers in every column they share (two or more) "
    "and are not known to be the same experiment."
)
TWIN_HEADS = ("paper", "where", "row", "where", "row", "equal numbers")


def check(numbers: Sequence[Print]) -> Section:
    """Every number that stands in two places and differs, the largest difference first, cut-off ones last."""
    found: list[tuple[Decimal, Line]] = []
    seen: Counter[str] = Counter()
    for first, other in _pairs(numbers):
        for mark, one, two in (("", first.value, other.value), ("±", first.spread, other.spread)):
            if not one or not two:
                continue
            alike = likeness(one, two)
            seen[alike] += 1
            if alike in ("different", "cut off"):
                size = abs(Decimal(one) - Decimal(two)) if alike == "different" else Decimal(0)
                cases = ":".join("?" if number is None else str(number) for number in first.cases)
                names = (first.dataset, cases, first.row, first.column)
                sides = (f"{first.paper} {first.table}", mark + one, f"{other.paper} {other.table}", mark + two)
                found.append((size, (*names, *sides, "cut off" if alike == "cut off" else "")))
    summary = (
        f"{seen.total()} numbers stand in two places: {seen['equal']} are equal, {seen['rounded']} differ by rounding, "
        f"{seen['cut off']} are cut off in one of the two, {seen['different']} differ."
    )
    return Section("The same number in two places", RULE, summary, HEADS, largest_first(found))


def twins(numbers: Sequence[Print]) -> Section:
    """Pairs of rows under different names that print the same numbers."""
    found = []
    for (one, ones), (two, twos) in combinations(rows(numbers), 2):
        if (one.paper, one.dataset, one.cases) != (two.paper, two.dataset, two.cases) or one.method == two.method:
            continue
        shared = [column for column in ones if column in twos]
        if len(shared) > 1 and all(likeness(ones[column], twos[column]) == "equal" for column in shared):
            shown = ", ".join(f"{column} {ones[column]}" for column in shared)
            found.append((one.paper, one.where, one.row, two.where, two.row, shown))
    summary = f"Such pairs of rows: {len(found)}."
    return Section("The same numbers under two names", TWIN_RULE, summary, TWIN_HEADS, tuple(found))


def _pairs(numbers: Sequence[Print]) -> Iterator[tuple[Print, Print]]:
    for first, *others in grouped(of_tables(numbers), ("dataset", "cases", "method", "column")).values():
        for other in others:
            yield first, other
