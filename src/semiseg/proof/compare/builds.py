"""The verdict on two builds of a table: same bits, same within rounding, or different, and by what."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from semiseg.base.errors import UserError
from semiseg.base.names import guess
from semiseg.base.texts import counted, some
from semiseg.proof.audit.check_cells import cells_of
from semiseg.proof.compare.causes import Cause, Origins, origins, surroundings
from semiseg.proof.compare.sides import Side

SAME_BITS, SAME_NUMBERS, DIFFERENT = "same bits", "same within rounding", "different"
ROUNDING = Decimal("0.01")  # one unit of the last digit that a table prints
NO_NUMBERS = ("label", "rule", "unit", "spread_over", "seeds")
Key = tuple[str, str, str]  # row, convention, column


@dataclass(frozen=True)
class Cell:
    """A number that both builds have, as printed; empty where it is undefined."""

    row: str
    convention: str
    column: str
    first: str
    second: str

    @property
    def size(self) -> Decimal:
        """By how much the two numbers differ; infinite where one of them is undefined."""
        one, other = _number(self.first), _number(self.second)
        if one is None or other is None:
            return Decimal(0) if self.first == self.second else Decimal("Infinity")
        return abs(one - other)


@dataclass(frozen=True)
class Verdict:
    """kind: one of the three. sentences: the verdict in words, the first one is the answer. cells: all common
    numbers, those that differ most first. lacking: rows that one side has alone, in words.
    """

    kind: str
    sentences: tuple[str, ...]
    cells: tuple[Cell, ...]
    lacking: tuple[str, ...]


def compare_builds(first: Side, second: Side) -> Verdict:
    """Compare two builds of a table. Raises UserError for tables of other datasets or without a common row."""
    if first.dataset != second.dataset:
        raise UserError(
            f"{first.name} is about {first.dataset}, {second.name} about {second.dataset}, so that they have"
            " no case in common: name two tables of one dataset"
        )
    one, other = _numbers(first), _numbers(second)
    rows = [list(dict.fromkeys(row for row, _, _ in values)) for values in (one, other)]
    if not set(rows[0]) & set(rows[1]):
        near = "".join(guess(row, rows[1]) for row in rows[0][:1])
        raise UserError(
            f"{first.name} has the rows {some(rows[0])}, {second.name} {some(rows[1])}: none in common{near}"
        )
    lacking = [
        f"row {row} stands in {name} alone"
        for name, own, theirs in (("A", *rows), ("B", *rows[::-1]))
        for row in own
        if row not in theirs
    ]
    cells = [Cell(*key, one[key], other[key]) for key in one if key in other]
    cells.sort(key=lambda cell: -cell.size)
    surplus = [
        f"column {column} stands in one table alone" for column in _surplus(one, other, set(rows[0]) & set(rows[1]))
    ]
    differing = [cell for cell in cells if cell.size]
    kind = _kind(first, second, cells, [*lacking, *surplus])
    if kind == SAME_BITS:
        sentences = _about_bits(first, second)
    else:
        sentences = [_about_numbers(kind, cells, differing), *_about_files(first, second, differing)]
        sentences += _about_causes(origins(first, second))
    return Verdict(kind, tuple(map(_whole, sentences)), tuple(cells), tuple(map(_whole, (*lacking, *surplus))))


def _numbers(side: Side) -> dict[Key, str]:
    with contextlib.chdir(side.folder):
        cells = cells_of(side.target)
    return {(cell.row, cell.convention, cell.column): cell.value for cell in cells if cell.column not in NO_NUMBERS}


def _surplus(one: Mapping[Key, str], other: Mapping[Key, str], rows: set[str]) -> list[str]:
    alone = [key for key in [*(one.keys() - other.keys()), *(other.keys() - one.keys())] if key[0] in rows]
    return sorted({column for _, _, column in alone})


def _kind(first: Side, second: Side, cells: list[Cell], alone: list[str]) -> str:
    if first.outputs() == second.outputs():
        return SAME_BITS
    return DIFFERENT if alone or any(cell.size > ROUNDING for cell in cells) else SAME_NUMBERS


def _about_bits(first: Side, second: Side) -> list[str]:
    sentences = [f"{SAME_BITS}: all {len(first.outputs())} files of the table that hold no measured times are equal"]
    if first.record["id"] == second.record["id"]:
        return [
            *sentences,
            f"the records of the tables have one id, {first.record['id'][:12]}, so that all behind them is equal",
        ]
    if others := surroundings(first, second):
        sentences.append(f"that is so although there was {some([_with_rules(one) for one in others], 6)}")
    return sentences


def _about_numbers(kind: str, cells: list[Cell], differing: list[Cell]) -> str:
    if not differing:
        return f"{kind}: all {counted(len(cells), 'number')} that both tables print are equal"
    largest, size = differing[0], f" by at most {differing[0].size}" if kind == SAME_NUMBERS else ""
    where = f"{largest.row}, {largest.column} ({largest.convention})"
    values = f"{largest.first or 'undefined'} in A, {largest.second or 'undefined'} in B"
    number = counted(len(cells), "number")
    return f"{kind}: {len(differing)} of {number} differ{size}; the largest difference is {where}, {values}"


def _about_files(first: Side, second: Side, differing: list[Cell]) -> list[str]:
    if differing:
        return []
    one, other = first.outputs(), second.outputs()
    names = [form for form in sorted({**one, **other}) if one.get(form) != other.get(form)]
    return [f"the bits of other files differ: {some([f'TABLE{form}' for form in names], 6)}"]


def _about_causes(found: Origins) -> list[str]:
    """The causes in words. Several ones cannot be told apart by records."""
    sentences = []
    if not found.whole:
        sentences.append("not all records behind the tables are here, so that the cause may lie behind what is named")
    texts = [_with_rules(cause) for cause in found.causes]
    if len(texts) == 1:
        sentences.append(f"by {texts[0]}")
    elif texts:
        sentences += [
            "By one of these or several, which the records do not tell apart:",
            *(f"- {text}" for text in texts),
        ]
    elif found.nondeterministic:
        sentences.append("no record differs in what it names, and the jobs were not bound to give the same bits twice")
    else:
        sentences.append(
            "no record differs in what it names: input, parameter, code, device, processor and libraries are equal"
        )
    if found.jobs and found.whole:
        sentences.append(f"it begins at {some(list(found.jobs), 3)}")
    return sentences


def _whole(sentence: str) -> str:
    """A sentence with a capital and a stop; one that ends in a colon, or an item of a list, stays as it is."""
    if sentence.startswith("- ") or sentence.endswith(":"):
        return sentence
    return f"{sentence[0].upper()}{sentence[1:]}."


def _with_rules(cause: Cause) -> str:
    return f"{cause.text} (rule {', '.join(cause.rules)})" if cause.rules else cause.text


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
