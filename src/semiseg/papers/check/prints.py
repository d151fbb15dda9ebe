"""Printed numbers one by one, and which of them belong to the same experiment, in one paper or in two."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pandas as pd

from semiseg.papers.reading import TEXT, read_paper

HERE = Path(__file__).parent
CELL = ("paper", "table", "labelled", "unlabelled", "dataset", "row")

# DVCL's Table 1 prints 42:420 over the block for which its own text and GuidedNet state 42 labelled and 378 unlabelled
SAME_COUNTS = {("flare22", 42, 420): 378}


@dataclass(frozen=True)
class Print:
    """A line of a paper's file; ``value`` and ``spread`` are the printed texts, counts are None where unknown."""

    paper: str
    table: str
    row: str
    labelled: int | None
    unlabelled: int | None
    dataset: str
    column: str
    value: str
    spread: str
    flag: str
    note: str
    spread_over: str

    @property
    def where(self) -> str:
        """Where it stands, for people: ``table 2, amos22 18:162``."""
        stands = self.table if self.table == TEXT else f"table {self.table}"
        return f"{stands}, {self.block}"

    @property
    def block(self) -> str:
        """Dataset and counts, as far as they are known: ``amos22 18:162``."""
        known = self.labelled is not None and self.unlabelled is not None
        return f"{self.dataset} {self.labelled}:{self.unlabelled}" if known else self.dataset

    @cached_property
    def method(self) -> str:
        """Name by which rows of all papers are matched: from rows.csv, else the row's letters and digits."""
        row, known = self.row.removesuffix(" (2)"), _renamed()
        return letters(known.get((self.paper, self.table, row)) or known.get((self.paper, "", row)) or row)

    @property
    def supervised(self) -> bool:
        """Whether the row is trained on labelled cases alone, whatever counts stand above it."""
        return self.method == "supervised"

    @property
    def cases(self) -> tuple[int | None, int | None]:
        """Labelled and unlabelled cases of the experiment: those in print but for what is known to be otherwise."""
        if self.supervised:
            return self.labelled, 0
        if self.labelled is None or self.unlabelled is None:
            return self.labelled, self.unlabelled
        return self.labelled, SAME_COUNTS.get((self.dataset, self.labelled, self.unlabelled), self.unlabelled)


def letters(name: str) -> str:
    """A method's name in the form in which names are matched: small letters and digits."""
    return "".join(sign for sign in name.lower() if sign.isalnum() or sign in "+*/'")


def read(paper: str) -> list[Print]:
    """All prints of a paper; UserError as ``semiseg.papers.reading.read_paper``."""
    return prints(read_paper(paper), paper)


def prints(frame: pd.DataFrame, paper: str) -> list[Print]:
    """Lines of ``semiseg.papers.reading.read_file`` one by one."""
    return [
        Print(
            paper,
            line["table"],
            line["row"],
            None if pd.isna(line["labelled"]) else int(line["labelled"]),
            None if pd.isna(line["unlabelled"]) else int(line["unlabelled"]),
            line["dataset"],
            line["column"],
            line["value_text"],
            line["spread_text"],
            line["flag"],
            line["note"],
            line["spread_over"],
        )
        for line in frame.to_dict("records")
    ]


def of_tables(numbers: Iterable[Print]) -> list[Print]:
    """Without the numbers of the running text."""
    return [one for one in numbers if one.table != TEXT]


def of_text(numbers: Iterable[Print]) -> list[Print]:
    """The numbers of the running text."""
    return [one for one in numbers if one.table == TEXT]


def grouped(numbers: Iterable[Print], names: Sequence[str]) -> dict[tuple[object, ...], list[Print]]:
    """Prints that share these attributes, in the order of their first one."""
    groups: dict[tuple[object, ...], list[Print]] = {}
    for one in numbers:
        groups.setdefault(tuple(getattr(one, name) for name in names), []).append(one)
    return groups


def rows(numbers: Iterable[Print]) -> list[tuple[Print, dict[str, str]]]:
    """Every row of every table: its first print, and the printed text of its columns."""
    groups = grouped(of_tables(numbers), CELL).values()
    return [(own[0], {one.column: one.value for one in own if one.value}) for own in groups]


def data(name: str) -> list[dict[str, str]]:
    """Lines of ``papers/check/<name>.csv``."""
    with (HERE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def _renamed() -> dict[tuple[str, str, str], str]:
    return {(line["paper"], line["table"], line["row"]): line["method"] for line in data("rows")}
