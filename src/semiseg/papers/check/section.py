"""A part of the findings: how it was looked for, what came of it, and every finding as a line of a table."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

Line = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """title and rule: what is compared and when two numbers count as equal; summary: counts in words.

    heads and lines: a table, largest disagreement first where sizes can be compared; lines may be empty.
    legend: what a column is, a line each. spare: the head of a column that a narrow terminal leaves out.
    """

    title: str
    rule: str
    summary: str
    heads: Line
    lines: tuple[Line, ...]
    legend: Line = ()
    spare: str = ""


def largest_first(found: Iterable[tuple[Decimal, Line]]) -> tuple[Line, ...]:
    """Lines by falling size; equal sizes keep their order."""
    return tuple(line for _, line in sorted(found, key=lambda pair: -pair[0]))
