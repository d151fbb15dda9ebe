"""The parts of a page on the terminal: a title, named facts, lists and small tables."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Page = list[RenderableType]
PIPED_WIDTH = 100


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


def columns(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    """A small table; columns of numbers are aligned to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    cells = [tuple(row) for row in rows]
    for place, head in enumerate(heads):
        numbers = all(row[place].replace(",", "").replace(".", "").isdigit() for row in cells if row[place])
        table.add_column(head, justify="right" if numbers else "left", overflow="fold", header_style="dim")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return Padding(table, (0, 0, 0, 2))
