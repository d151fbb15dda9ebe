"""A table of the site as columns and cells."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """key: names it in addresses. meaning: of ``DEFINITIONS``. filtered: a reader chooses among its values.

    text: its cells are words.
    """

    key: str
    label: str
    meaning: str = ""
    filtered: bool = False
    text: bool = False

    @property
    def is_words(self) -> bool:
        """Whether its cells are words and not numbers."""
        return self.text or self.filtered


GROUP = Column("group", "Group", "group", filtered=True)
PROOF = Column("proof", "Proof", "proof", filtered=True)


@dataclass(frozen=True)
class Cell:
    """text; beside: spread or interval; href: where a click leads; more: what a screen reader adds to the link.

    kind: a class of the style: best, or tied with it.
    """

    text: str
    beside: str = ""
    href: str = ""
    more: str = ""
    kind: str = ""


@dataclass(frozen=True)
class DataTable:
    """id: in addresses, and of the file that a reader downloads. kinds: per row a class of the style."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    kinds: tuple[str, ...]
    cases: bool = False

    @property
    def beside(self) -> int:
        """Letters of the longest text beside a number, so that the numbers of a column stand below each other."""
        return max((len(cell.beside.strip()) for row in self.rows for cell in row), default=0)

    @property
    def classes(self) -> str:
        """Classes of the style."""
        return "data cases" if self.cases else "data"
