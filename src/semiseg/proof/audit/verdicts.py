"""The findings of an audit and their verdicts."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

MISSING = "is missing"  # the same text for every such file, so that the report has them in one line
CellKey = tuple[str, str, str]  # row, convention, column


class Verdict(IntEnum):
    """Verdicts from good to bad. The verdict on a file holds for everything that was made from it, too."""

    PROVEN = 0
    STALE = 1  # made by other code or parameters than those that are here
    UNPROVEN = 2  # no record shows how it was made
    MISSING = 3
    CHANGED = 4  # other bytes, or another number, than those that were made

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file.

    text: the fault, as the rest of a sentence that begins with the file's name. at: main output of the job that the
    fault belongs to; everything that was made from the outputs of this job gets the verdict. expected, found: sha256 or
    values, where there are any. cell: row, convention and column, where the fault is about one cell alone. cells: the
    same of all cells that it is about, where the fault has bounds (a row, a column); other cells are compared singly.
    """

    verdict: Verdict
    path: str
    text: str
    at: str
    expected: str | None = None
    found: str | None = None
    cell: CellKey | None = None
    cells: tuple[CellKey, ...] | None = None


@dataclass(frozen=True)
class Note:
    """A remark that changes no verdict unless the audit is strict. paths: the files that it is about."""

    text: str
    paths: tuple[str, ...] = ()


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some verdicts; ``PROVEN`` when there are none."""
    return max(verdicts, default=Verdict.PROVEN)


def short(sha256: str | None) -> str:
    """The first characters of a digest, enough to compare by eye."""
    return sha256[:12] if sha256 else "nothing"
