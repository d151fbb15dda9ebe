"""The parts of a page on the terminal: a title, named facts, lists and small tables."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Page = list[RenderableType]
PIPED_WIDTH = 100
GAP = 2  # blanks between two columns


def terminal() -> Console:
    """The console on which pages are printed: as wide as the terminal, ``PIPED_WIDTH`` wide in a file or pipe."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def title(kind: str, name: str, text: str = "") -> RenderableType:
    """First line of a page."""
    return Text.assemble((f"{kind} ", "dim"), (name, "bold"), f"  {text}" if text else "")


def facts(rows: Mapping[str, str]) -> RenderableType:
    """Names with their texts, one a line; names with an empty text are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=14, no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, text in rows.items():
        if text:
            grid.add_row(name, Text(text))
    return Padding(grid, (0, 0, 0, 2))


def heading(text: str) -> RenderableType:
    """First line of a section."""
    return Text(text, "bold")


def items(head: str, lines: Iterable[str], *, numbered: bool = False) -> Page:
    """A heading and a list below it, numbered or with dashes; an empty page where ``lines`` is empty."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for number, line in enumerate(lines, 1):
        grid.add_row(f"{number}." if numbered else "-", Text(line))
    return [heading(head), Padding(grid, (0, 0, 0, 2))] if grid.row_count else []


def columns(heads: Sequence[str], rows: Iterable[Sequence[str]], spare: str = "") -> RenderableType:
    """A small table; columns of numbers are aligned to the right.

    No word is broken where all words fit. spare: the head of a column that is left out where they fit without it alone.
    """
    return Padding(_Columns(heads, [tuple(row) for row in rows], spare), (0, 0, 0, 2))


class _Columns:
    """The table that ``columns`` returns, laid out when the width is known.

    rich alone breaks words, or cuts columns off where their least widths do not fit.
    """

    def __init__(self, heads: Sequence[str], cells: Sequence[Sequence[str]], spare: str) -> None:
        self._heads, self._cells, self._spare = heads, cells, spare

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        every = list(range(len(self._heads)))
        fewer = [place for place in every if self._heads[place] != self._spare]
        tries = [(places, gap) for places in (every, fewer) for gap in (GAP, 1)]
        fitting = ((*one, found) for one in tries if (found := self._widths(*one, options.max_width)))
        places, gap, widths = next(fitting, (every, GAP, [None] * len(every)))  # rich breaks words then
        table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
        for place, width in zip(places, widths, strict=True):
            texts = [row[place] for row in self._cells if row[place]]
            numbers = all(text.replace(",", "").replace(".", "").isdigit() for text in texts)
            side: Literal["left", "right"] = "right" if numbers else "left"
            table.add_column(self._heads[place], justify=side, overflow="fold", header_style="dim", width=width)
        for row in self._cells:
            table.add_row(*(Text(row[place]) for place in places))
        yield table

    def _widths(self, places: Sequence[int], gap: int, most: int) -> list[int | None]:
        """Widths in which no word is broken: what is left beside the longest words is shared out, least wants first.

        An empty list where the words do not fit.
        """
        texts = [[self._heads[place], *(row[place] for row in self._cells)] for place in places]
        words = [max(map(cell_len, " ".join(column).split()), default=0) for column in texts]
        wanted = [max(map(cell_len, column)) - word for column, word in zip(texts, words, strict=True)]
        left = most - sum(words) - gap * len(places)  # rich counts one behind the last, too
        if left < 0:
            return []
        for rank, place in enumerate(sorted(range(len(words)), key=lambda place: wanted[place])):
            more = min(wanted[place], left // (len(words) - rank))
            words[place] += more
            left -= more
        return list(words)
