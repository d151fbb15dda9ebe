"""The report of an audit: verdicts per cell and file, as text and as plain data."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from semiseg.base.texts import counted, some
from semiseg.proof.audit.check_cells import Cell
from semiseg.proof.audit.verdicts import MISSING, Finding, Note, Verdict, worst

SHOWN = 5  # files, cells or sentences before "and more"


@dataclass(frozen=True)
class Table:
    """A table and the verdict of each of its cells."""

    path: str
    cells: Mapping[Cell, Verdict]


@dataclass(frozen=True)
class Report:
    """The result of an audit.

    targets: file -> verdict. ids: target -> id of its record, where it has one. tables: all tables behind the targets.
    away: files that are not here but known by hash: a manifest -> the number of its files, or a single file -> 0.
    records, files: how many were checked. shared: whether the project has files that `dvc pull` fetches.
    """

    targets: Mapping[str, Verdict]
    tables: Sequence[Table]
    findings: Sequence[Finding]
    notes: Sequence[Note]
    away: Mapping[str, int]
    ids: Mapping[str, str]
    records: int
    files: int
    shared: bool = False
    strict: bool = False

    @property
    def proven(self) -> bool:
        """Whether every target is proven; a strict audit must have no notes either."""
        return self._is_whole and not (self.strict and self.notes)

    @property
    def _is_whole(self) -> bool:
        return worst(self.targets.values()) is Verdict.PROVEN

    def lines(self) -> Iterator[str]:
        """The report as lines of text."""
        for path, verdict in self.targets.items():
            yield f"{path}: {verdict}"
        if self._is_whole and not self.proven:
            yield f"not proven under --strict, because of {counted(len(self.notes), 'note')} below: exit status 1"
        for table in self.tables:
            yield from _table(table)
        yield from _findings(self.findings)
        if any(found.verdict is Verdict.MISSING for found in self.findings):
            build = f"`snakemake {' '.join(self.ids or self.targets)}` builds it"
            yield f"what is missing: {f'`dvc pull` fetches it if it was pushed, {build}' if self.shared else build}"
        yield f"checked: {self.records} records, {self.files} files by sha256"
        yield from _away(self.away)
        for note in self.notes:
            yield f"note: {note.text}{_on(note.paths)}"
        for path, record in self.ids.items():
            yield f"record of {path}: {record}"

    def as_data(self) -> dict[str, Any]:
        """The report as in the JSON output."""
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
    """One line per verdict with its rows. Cells with another verdict than most of their row get lines of their own."""
    rows: dict[str, dict[Verdict, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell, verdict in table.cells.items():
        rows[cell.row][verdict].append(cell)
    whole: dict[Verdict, list[str]] = defaultdict(list)
    for row, verdicts in rows.items():
        common = max(verdicts, key=lambda verdict: len(verdicts[verdict]))
        whole[common].append(row)
    for verdict, names in sorted(whole.items()):
        count = sum(len(rows[name][verdict]) for name in names)
        yield f"  {verdict}: {', '.join(name or '(no name)' for name in names)} ({count} cells)"
    for row, verdicts in rows.items():
        for verdict, cells in verdicts.items():
            if row not in whole[verdict]:
                columns = some([f"{cell.column} ({cell.convention})" for cell in cells], SHOWN)
                yield f"  {verdict}: {row or '(no name)'}, {columns}"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    """The findings, the worst first. Findings with the same text share one line, followed by their files."""
    same: dict[tuple[Verdict, str], list[str]] = defaultdict(list)
    cells: Counter[str] = Counter()
    for found in findings:
        where = f"{found.path}, {found.cell[0]}, {found.cell[2]}" if found.cell else found.path
        cells[found.path] += bool(found.cell)
        if not found.cell or cells[found.path] <= SHOWN:
            same[found.verdict, found.text].append(where)
    for (verdict, text), paths in sorted(same.items(), key=lambda item: -item[0][0]):
        if len(paths) == 1:
            yield f"{verdict}: {paths[0]} {text}"
            continue
        yield f"{verdict}: {len(paths)} files" if text == MISSING else f"{verdict}, {len(paths)} times: {text}"
        yield from (f"    {path}" for path in paths[:SHOWN])
        if len(paths) > SHOWN:
            yield f"    and {len(paths) - SHOWN} more"
    for path, count in cells.items():
        if count > SHOWN:
            text = f"{counted(count - SHOWN, 'more cell')} with another number than the scores give"
            yield f"{Verdict.CHANGED}: {path}, {text}"


def _away(away: Mapping[str, int]) -> Iterator[str]:
    """Files that are not here. Manifests of the same name share one line; single files are grouped in the same way."""
    same: dict[str, list[str]] = defaultdict(list)
    for path in away:
        same[PurePosixPath(path).name].append(path)
    for paths in same.values():
        count = sum(away[path] for path in paths)
        files = f" (the {count} files that are listed there)" if count else ""
        yield f"not here, known by hash: {some(paths, 2)}{files}"


def _on(paths: Sequence[str]) -> str:
    return f": {some(paths, SHOWN)}" if paths else ""
