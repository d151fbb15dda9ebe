"""The sheet of a case: a row of views per method at one scale, in one block or several beside each other."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

ROWS_PER_BLOCK = 9  # more go into a second block beside the first
VIEWS_INCHES = 8.4  # width of a row's views
TALLEST_INCHES = 2.4  # of a row
NAME_INCHES, GAP_INCHES, MARGIN_INCHES = 1.3, 0.07, 0.12
TITLE_INCHES, HEAD_INCHES = 0.5, 0.24
ENTRY_INCHES, ENTRY_HEIGHT_INCHES, NOTE_HEIGHT_INCHES = 1.75, 0.21, 0.18
NOTE_LETTERS_PER_INCH = 16
NARROWEST_INCHES = 7.5


@dataclass(frozen=True)
class Sheet:
    """views: name -> width and height of each view, mm; rows: of the whole sheet; entries: of the legend."""

    views: dict[str, tuple[float, float]]
    rows: int
    entries: int
    notes: Sequence[str]

    @property
    def blocks(self) -> int:
        """Blocks beside each other."""
        return math.ceil(self.rows / ROWS_PER_BLOCK)

    @property
    def rows_per_block(self) -> int:
        """Rows of the first block; the last one may have fewer."""
        return math.ceil(self.rows / self.blocks)

    @property
    def scale(self) -> float:
        """Inches per mm of the patient, the same in every view."""
        across = VIEWS_INCHES - GAP_INCHES * (len(self.views) - 1)
        tallest = max(height for _, height in self.views.values())
        return min(across / sum(width for width, _ in self.views.values()), TALLEST_INCHES / tallest)

    @property
    def row_inches(self) -> float:
        """Height of a row with its gap."""
        return self.scale * max(height for _, height in self.views.values()) + GAP_INCHES

    @property
    def block_inches(self) -> float:
        """Width of a block with its names."""
        views = self.scale * sum(width for width, _ in self.views.values()) + GAP_INCHES * (len(self.views) - 1)
        return NAME_INCHES + views + MARGIN_INCHES

    @property
    def columns_of_legend(self) -> int:
        """Entries of the legend beside each other."""
        return max(int(self.width / ENTRY_INCHES), 1)

    @property
    def width(self) -> float:
        """Inches."""
        return max(self.blocks * self.block_inches + MARGIN_INCHES, NARROWEST_INCHES)

    @property
    def lines(self) -> list[str]:
        """The notes, broken to the width."""
        letters = int(NOTE_LETTERS_PER_INCH * (self.width - 2 * MARGIN_INCHES))
        return [line for note in self.notes for line in textwrap.wrap(note, letters)]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, inches."""
        legend = ENTRY_HEIGHT_INCHES * math.ceil(self.entries / self.columns_of_legend)
        foot = MARGIN_INCHES + NOTE_HEIGHT_INCHES * len(self.lines) + legend
        head = TITLE_INCHES + HEAD_INCHES
        return self.width, head + self.rows_per_block * self.row_inches + foot

    def begin(self, title: str, detail: str, legend: Sequence[tuple[str, str]]) -> Figure:
        """An empty sheet with a title, a line below it, heads of the columns, legend (label, colour) and notes."""
        width, height = self.size
        figure = Figure(figsize=self.size, facecolor="white")
        self._write(figure, MARGIN_INCHES, 0.06, title, size=10.5, weight="bold")
        self._write(figure, MARGIN_INCHES, 0.27, detail, size=9.5)
        for block in range(self.blocks):
            for name, left in self._lefts(block).items():
                middle = left + self.scale * self.views[name][0] / 2
                self._write(figure, middle, TITLE_INCHES, name, size=9, across="center")
        for number, note in enumerate(reversed(self.lines)):
            self._write(figure, MARGIN_INCHES, height - NOTE_HEIGHT_INCHES * (number + 1), note, size=7.5)
        patches = [Patch(color=colour, label=label) for label, colour in legend]
        spot = (MARGIN_INCHES / width, (NOTE_HEIGHT_INCHES * len(self.lines) + MARGIN_INCHES / 2) / height)
        figure.legend(
            handles=patches, loc="lower left", bbox_to_anchor=spot, ncols=self.columns_of_legend, frameon=False,
            fontsize=8, borderaxespad=0, borderpad=0.2, handlelength=1.2, handleheight=1.0, columnspacing=1.2,
        )  # fmt: skip
        return figure

    def add_row(self, figure: Figure, row: int, name: str, detail: str) -> dict[str, Axes]:
        """Write a row's name, and below it a detail; returns an empty panel per view, vertically centred."""
        block, place = divmod(row, self.rows_per_block)
        width, height = self.size
        top = TITLE_INCHES + HEAD_INCHES + place * self.row_inches
        middle = top + (self.row_inches - GAP_INCHES) / 2
        left = block * self.block_inches + MARGIN_INCHES
        self._write(figure, left, middle - 0.16, name, size=9.5, weight="bold")
        self._write(figure, left, middle + 0.02, detail, size=8.5)
        panels = {}
        for view, start in self._lefts(block).items():
            across, down = (self.scale * side for side in self.views[view])
            frame = (start / width, 1 - (middle + down / 2) / height, across / width, down / height)
            panels[view] = figure.add_axes(frame)
        return panels

    def _lefts(self, block: int) -> dict[str, float]:
        """Left edges of a block's views, inches."""
        left, found = block * self.block_inches + MARGIN_INCHES + NAME_INCHES - 0.1, {}
        for name, (width, _) in self.views.items():
            found[name] = left
            left += self.scale * width + GAP_INCHES
        return found

    def _write(
        self, figure: Figure, left: float, top: float, text: str, *, size: float, weight: str = "normal",
        across: str = "left",
    ) -> None:  # fmt: skip
        """Text whose upper edge lies ``top`` inches below that of the sheet."""
        width, height = self.size
        figure.text(left / width, 1 - top / height, text, fontsize=size, fontweight=weight, ha=across, va="top")
