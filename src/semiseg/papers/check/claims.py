"""Claims of the running text about the tables: its numbers, its differences, and which row is better than which.

``claims.csv`` holds one claim per line: ``row`` of ``table`` (in the block of labelled, unlabelled and dataset) in
``column`` is ``better``, ``not better`` or better ``by`` the text's number than ``against``. Several columns or rows
stand between semicolons; ``*`` is every other semi-supervised row of the block, ``* - A;B`` all of them but A and B;
``best other`` and ``worst other`` are those in this column. text_row and text_column name the number in table ``text``
(text_row: the same as row where empty).
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from semiseg.base.errors import UserError
from semiseg.papers.check.numbers import gain, likeness, signed, step
from semiseg.papers.check.prints import Print, data, grouped, of_tables, of_text
from semiseg.papers.check.section import Line, Section, largest_first

VALUE_RULE = (
    "A number of the running text against the same row and column of every table that prints it, and a difference "
    "that the text names against the difference of the two printed numbers. Both agree when rounding (half a unit of "
    "the last digit of each number involved) can explain what lies between."
)
VALUE_HEADS = ("paper", "where in the text", "row", "what", "text", "tables", "from")
ORDER_RULE = (
    "Claims of the text that one method is better than another, compared with the printed numbers: higher Dice and "
    "Jaccard, lower ASD and 95HD are better. Spreads and significance are ignored; a tie is not better. One line per "
    "column and pair of rows that contradicts the claim."
)
ORDER_HEADS = ("paper", "claim", "where", "column", "row", "against", "")
Claim = dict[str, str]
Comparison = tuple[Print, Decimal, Line]  # the text's number, its error beyond rounding, its line in the section


def values(numbers: Sequence[Print]) -> Section:
    """Numbers of the text that differ from those of the tables, the farthest first."""
    compared = [*_repeated(numbers), *_differences(numbers)]
    found = [(size, line) for _, size, line in compared if size > 0]
    alone = set(of_text(numbers)) - {stated for stated, _, _ in compared}
    summary = f"{len(compared)} comparisons: {len(compared) - len(found)} agree, {len(found)} do not."
    if alone:
        summary += f" Numbers of the text that no table has: {len(alone)}."
    return Section("Numbers of the text and of the tables", VALUE_RULE, summary, VALUE_HEADS, largest_first(found))


def orders(numbers: Sequence[Print]) -> Section:
    """Claims in words that the printed numbers contradict."""
    found, compared = [], 0
    for claim in _claims(numbers, "better", "not better"):
        block = _Block(numbers, claim)
        for column, row, other in block.comparisons():
            compared += 1
            one, two = block.text(row, column), block.text(other, column)
            ahead = gain(column, one, two)
            if (ahead > 0) != (claim["claim"] == "better"):
                remark = "equal" if ahead == 0 else f"{'better' if ahead > 0 else 'worse'} by {abs(ahead)}"
                sides = (f"{row} {one}", f"{other} {two}", remark)
                found.append((claim["paper"], claim["where"], block.where, column, *sides))
    summary = f"{compared} comparisons: {compared - len(found)} bear the text out, {len(found)} do not."
    return Section("Orders that the text claims", ORDER_RULE, summary, ORDER_HEADS, tuple(found))


class _Block:
    """The printed numbers that a claim is about: its block, and the supervised row of the same labelled cases."""

    def __init__(self, numbers: Sequence[Print], claim: Claim) -> None:
        table = [one for one in numbers if one.table == claim["table"] and one.paper == claim["paper"]]
        within = [one for one in table if _is_in(one, claim)]
        self.claim = claim
        self.where = f"table {claim['table']}, {claim['dataset']} {claim['labelled']}:{claim['unlabelled']}"
        self.methods = list(dict.fromkeys(one.row for one in within if not one.supervised))
        beside = (one for one in table if one.supervised and _is_in(one, {**claim, "unlabelled": "0"}))
        known = [*within, *beside]
        self.texts = {(one.row, one.column): one.value for one in known}

    def comparisons(self) -> Iterator[tuple[str, str, str]]:
        """Column, row, and the row that it is compared with."""
        row, against = self.claim["row"], self.claim["against"]
        for column in self.claim["column"].split(";"):
            for one in self._rows(row, but=against):
                for other in self._rows(against, but=one):
                    yield column, one, other

    def _rows(self, named: str, but: str) -> list[str]:
        star, _, left_out = named.partition(" - ")
        if star != "*":
            return named.split(";")
        return [row for row in self.methods if row not in (*but.split(";"), *left_out.split(";"))]

    def opponent(self, row: str, column: str) -> str:
        """The row that a difference refers to: named, or the best or worst of the others."""
        against = self.claim["against"]
        if against not in ("best other", "worst other"):
            return against
        own = self.text(row, column)
        choose = min if against == "best other" else max
        return choose(self._rows("*", but=row), key=lambda other: gain(column, own, self.text(other, column)))

    def text(self, row: str, column: str) -> str:
        """What is printed; UserError names the claim when there is no such number."""
        if text := self.texts.get((row, column)):
            return text
        raise UserError(
            f"papers/check/claims.csv names {column} of {row!r} in {self.claim['paper']}, {self.where}, which "
            f"semiseg/published/{self.claim['paper']}.csv lacks: correct the claim or the file"
        )


def _is_in(one: Print, claim: Claim) -> bool:
    names = ("paper", "dataset", "labelled", "unlabelled")
    return all(str(getattr(one, name)) == claim[name] for name in names)


def _claims(numbers: Sequence[Print], *kinds: str) -> list[Claim]:
    papers = {one.paper for one in numbers}
    return [claim for claim in data("claims") if claim["paper"] in papers and claim["claim"] in kinds]


def _repeated(numbers: Sequence[Print]) -> Iterator[Comparison]:
    """Numbers of the text that are a cell (its columns have capitals): against every table with a row of that name."""
    names = ("paper", "dataset", "labelled", "unlabelled", "row", "column")
    cells = grouped(of_tables(numbers), names)
    for one in of_text(numbers):
        if one.column == one.column.lower():
            continue
        for cell in cells.get(tuple(getattr(one, name) for name in names), ()):
            alike = likeness(one.value, cell.value) in ("equal", "rounded")
            size = Decimal(0) if alike else abs(Decimal(one.value) - Decimal(cell.value))
            yield one, size, (one.paper, one.note, one.row, one.column, one.value, cell.value, cell.where)


def _differences(numbers: Sequence[Print]) -> Iterator[Comparison]:
    """Differences that the text names, against those of the printed numbers."""
    texts = of_text(numbers)
    for claim in _claims(numbers, "by"):
        block, row, column, stated = _Block(numbers, claim), claim["row"], claim["column"], _stated(texts, claim)
        other = block.opponent(row, column)
        one, two = block.text(row, column), block.text(other, column)
        difference = gain(column, one, two)
        beyond = abs(Decimal(stated.value) - difference)
        size = beyond if beyond > (step(stated.value) + step(one) + step(two)) / 2 else Decimal(0)
        source = f"{block.where}: {one} against {two} ({other})"
        yield stated, size, (stated.paper, claim["where"], row, stated.column, stated.value, signed(difference), source)


def _stated(texts: Sequence[Print], claim: Claim) -> Print:
    """The text's number that a claim is about; UserError when there is none."""
    row = claim["text_row"] or claim["row"]
    for one in texts:
        if (one.row, one.column) == (row, claim["text_column"]) and _is_in(one, claim):
            return one
    raise UserError(
        f"papers/check/claims.csv names {claim['text_column']!r} of {row!r}, which table text of "
        f"semiseg/published/{claim['paper']}.csv lacks: correct the claim or the file"
    )
