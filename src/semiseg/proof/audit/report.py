"""An audit's result: verdicts per cell and file, in words and as plain data."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from semiseg.base.progress import some
from semiseg.proof.audit.cells import Cell
from semiseg.proof.audit.findings import Finding, Note, Verdict, worst

SHOWN = 5  # files, cells or sentences before "and more"


@dataclass(frozen=True)
class Table:
    """A table and the verdict of each of its cells."""

    path: str
    cells: Mapping[Cell, Verdict]


@dataclass(frozen=True)
class Report:
    """What was found.

    targets: file -> verdict. ids: target -> id of its record, where it has one. tables: those of the chains.
    away: what is known by hash but not here: a list -> how many of its files, a file -> 0.
    records, files: how many were checked.
    """

    targets: Mapping[str, Verdict]
    tables: Sequence[Table]
    findings: Sequence[Finding]
    notes: Sequence[Note]
    away: Mapping[str, int]
    ids: Mapping[str, str]
    records: int
    files: int
    strict: bool = False

    @property
    def proven(self) -> bool:
        """Whether everything is proven; a strict audit wants nothing to be said besides."""
        return worst(self.targets.values()) is Verdict.PROVEN and not (self.strict and self.notes)

    def lines(self) -> Iterator[str]:
        """The report in words."""
        for path, verdict in self.targets.items():
            yield f"{path}: {verdict}"
        for table in self.tables:
            yield from _table(table)
        yield from _findings(self.findings)
        yield f"checked: {self.records} records, {self.files} files by sha256"
        yield from _away(self.away)
        for note in self.notes:
            yield f"note: {note.text}{_on(note.paths)}"
        for path, record in self.ids.items():
            yield f"record of {path}: {record}"

    def as_data(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return {
            "proven": self.proven,
            "targets": {path: str(verdict) for path, verdict in self.targets.items()},
            "cells": [
                {**asdict(cell), "verdict": str(verdict)}
                for table in self.tables
                for cell, verdict in table.cells.items()
            ],
            "findings": [{**asdict(found), "verdict": str(found.verdict)} for found in self.findings],
            "notes": [asdict(note) for note in self.notes],
            "away": dict(self.away),
            "records": dict(self.ids),
            "checked": {"records": self.records, "files": self.files},
        }


def _table(table: Table) -> Iterator[str]:
    """A line per verdict; cells share a line with their row unless they differ from it."""
    rows: dict[str, dict[Verdict, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell, verdict in table.cells.items():
        rows[cell.row][verdict].append(cell)
    whole: dict[Verdict, list[str]] = defaultdict(list)
    for row, verdicts in rows.items():
        common = max(verdicts, key=lambda verdict: len(verdicts[verdict]))
        whole[common].append(row)
    for verdict, names in sorted(whole.items()):
        count = sum(len(rows[name][verdict]) for name in names)
        yield f"  {verdict}: {', '.join(names)} ({count} cells)"
    for row, verdicts in rows.items():
        for verdict, cells in verdicts.items():
            if row not in whole[verdict]:
                yield f"  {verdict}: {row}, {some([f'{cell.column} ({cell.convention})' for cell in cells], SHOWN)}"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    """Worst first; findings that say the same are told once, with the files they are about."""
    same: dict[tuple[Verdict, str], list[str]] = defaultdict(list)
    for found in findings:
        where = f"{found.path}, {found.cell[0]}, {found.cell[2]}" if found.cell else found.path
        same[found.verdict, found.text].append(where)
    for (verdict, text), paths in sorted(same.items(), key=lambda item: -item[0][0]):
        if len(paths) == 1:
            yield f"{verdict}: {paths[0]} {text}"
            continue
        yield f"{verdict}, {len(paths)} times: {text}"
        yield from (f"    {path}" for path in paths[:SHOWN])
        if len(paths) > SHOWN:
            yield f"    and {len(paths) - SHOWN} more"


def _away(away: Mapping[str, int]) -> Iterator[str]:
    """Lists whose files are not here, those of the same name told together; single files left out by name."""
    same: dict[str, list[str]] = defaultdict(list)
    for path in away:
        same[PurePosixPath(path).name].append(path)
    for paths in same.values():
        count = sum(away[path] for path in paths)
        files = f" (the {count} files that are listed there)" if count else ""
        yield f"not here, known by hash: {some(paths, 2)}{files}"


def _on(paths: Sequence[str]) -> str:
    return f": {some(paths, 1)}" if paths else ""
