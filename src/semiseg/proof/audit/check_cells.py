"""Checks every number of a table: it is computed again from the per-case scores by the code of the rule ``row``."""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import digest
from semiseg.base.parallel import each
from semiseg.base.texts import some
from semiseg.proof.audit.cache import recall, remember
from semiseg.proof.audit.verdicts import CellKey, Finding, Verdict
from semiseg.proof.provenance import Link
from semiseg.scoring.conventions import CONVENTIONS, SUFFIXES
from semiseg.stages.execution import recorded_task
from semiseg.stages.rules import RULES
from semiseg.stages.task import Options

KEYS = ("method", "convention")
CACHE = "rows"
MANY = 64  # from this number of rows on, several processes save more time than their start takes
Lines = dict[str, dict[str, str]]  # convention -> column -> printed field
# Row -> column -> printed field; None for a row of which neither scores nor row file can be read, which is a finding.
Expected = Mapping[str, dict[str, str] | None]


@dataclass(frozen=True)
class Cell:
    """A field of a table. value: as printed in the CSV."""

    table: str
    row: str
    convention: str
    column: str
    value: str


def rescore(
    links: Sequence[Link], other_code: Collection[str], hashes: Mapping[str, str | None], workers: int, quick: bool
) -> dict[str, Lines]:
    """Score the rows of a chain again; main output of a row -> its lines. Rows without readable scores are left out.

    other_code: main outputs of jobs that ran other code than the code that is here, so they are not scored again.
    hashes: sha256 of the files. quick: use the cached result of an earlier audit where files, parameters and code of a
    row are the same.
    """
    rows = [link for link in links if link.record and link.record["rule"] == "row" and link.main not in other_code]
    keys = {link.main: _key(link, hashes) for link in rows}
    known = recall(CACHE)
    texts = {main: known[key] for main, key in keys.items() if quick and isinstance(known.get(key), str)}
    left = [link for link in rows if link.main not in texts]
    if left:
        scored = each(_scored, left, workers if len(left) >= MANY else 1, "audit: score rows anew", "row")
        texts |= {link.main: text for link, text in zip(left, scored, strict=True)}
        remember(CACHE, {**known, **{keys[link.main]: texts[link.main] for link in left if texts[link.main]}})
    return {main: _by_convention(_parsed(text)) for main, text in texts.items() if text}


def _key(link: Link, hashes: Mapping[str, str | None]) -> str:
    """Digest of everything that the text of a row depends on."""
    assert link.record is not None  # chosen by rescore
    read = {entry.path: hashes.get(entry.path) for entry in link.inputs}
    return digest([link.record["params"], link.record["code"]["hash"], read])


def check_rows(scored: Mapping[str, Lines]) -> Iterator[Finding]:
    """Findings about row files whose fields differ from what their scores give."""
    for main, expected in scored.items():
        lines = _lines(main)
        differing = [
            f"{column} ({convention}) is {_shown(lines.get(convention, {}).get(column))}, not {_shown(value)}"
            for convention, line in expected.items()
            for column, value in line.items()
            if lines.get(convention, {}).get(column) != value
        ]
        if differing:
            yield Finding(Verdict.CHANGED, main, f"is not what its scores give: {some(differing, 3)}", main)


def check_table(table: str, rows: Sequence[str], scored: Mapping[str, Lines]) -> Iterator[Finding]:
    """Findings about rows, columns and cells that differ from what the scores give, or without scores the row files."""
    sources = {Path(row).stem: scored.get(row) or _lines(row) for row in rows}
    for convention in CONVENTIONS:
        expected = {row: lines.get(convention) for row, lines in sources.items()}
        if Path(form(table, convention)).is_file():
            yield from _check_form(table, convention, expected)


def _check_form(table: str, convention: str, expected: Expected) -> Iterator[Finding]:
    """Findings about one CSV file of a table. A surplus or missing row or column is one finding, and none per cell."""
    path, cells = form(table, convention), [cell for cell in cells_of(table) if cell.convention == convention]
    bounded = [*_check_columns(table, path, cells, expected), *_check_names(table, path, cells, expected)]
    yield from bounded
    named = {place for found in bounded for place in found.cells or ()}
    for cell in cells:
        line = expected.get(cell.row)
        if line is None or _place(cell) in named or line.get(cell.column) == cell.value:
            continue
        text = f"the scores give {_shown(line.get(cell.column))}, the table says {_shown(cell.value)}"
        yield Finding(Verdict.CHANGED, path, text, table, line.get(cell.column), cell.value, _place(cell))


def _check_columns(table: str, path: str, cells: Sequence[Cell], expected: Expected) -> Iterator[Finding]:
    """A finding about columns that the rows do not have, or lack, or have in another order."""
    header = _header(path)
    wanted = list(dict.fromkeys([*KEYS, *(column for line in expected.values() for column in line or ())]))
    if len(wanted) == len(KEYS):
        return  # no row can be read
    surplus = [*(Counter(header) - Counter(wanted)).elements()]
    lacking = [*(Counter(wanted) - Counter(header)).elements()]
    if surplus or lacking:
        lists = (("too many:", surplus), ("missing:", lacking))
        parts = "; ".join(f"{word} {some(columns)}" for word, columns in lists if columns)
        found = [cell for cell in cells if cell.column in surplus]
        yield _bounded(table, path, f"has other columns than its rows ({parts})", found)
    elif moved := _moved(header, wanted):
        lines = {row: line or {} for row, line in expected.items()}
        there = [cell for cell in cells if cell.column in moved and cell.row in lines]
        found = [cell for cell in there if lines[cell.row].get(cell.column) != cell.value]
        yield _bounded(table, path, f"has its columns in another order than its rows: {some(moved)}", found)


def _check_names(table: str, path: str, cells: Sequence[Cell], expected: Expected) -> Iterator[Finding]:
    """Findings about rows that the table's parameters do not name, that are lacking, or that stand there twice."""
    if KEYS[0] not in _header(path):
        return  # its rows have no names, which is a finding about columns
    names = Counter(line["method"] for line in _read(path))
    if others := [name for name in names if name not in expected]:
        text = f"has rows that are not in the table's parameters: {some(others)}"
        yield _bounded(table, path, text, [cell for cell in cells if cell.row in others])
    if lost := [name for name in expected if name not in names]:
        yield _bounded(table, path, f"lacks the rows {some(sorted(lost))}", [])
    if repeated := [name for name, count in names.items() if count > 1 and name in expected]:
        text = f"has more than one row for {some(repeated)}"
        yield _bounded(table, path, text, [cell for cell in cells if cell.row in repeated])


def _bounded(table: str, path: str, text: str, cells: Sequence[Cell]) -> Finding:
    """A finding about these cells of a file, which says nothing of the other cells."""
    return Finding(Verdict.CHANGED, path, text, table, cells=tuple(map(_place, cells)))


def _place(cell: Cell) -> CellKey:
    return cell.row, cell.convention, cell.column


def _moved(header: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The columns that do not stand where the rows have them."""
    both = ([column for column in columns if column not in KEYS] for columns in (header, wanted))
    return [here for here, there in zip(*both, strict=False) if here != there]


def cells_of(table: str) -> list[Cell]:
    """Every field of a table under both conventions. A file that cannot be read gives none."""
    return [
        Cell(table, line["method"], convention, column, value)
        for convention in CONVENTIONS
        for line in _read(form(table, convention))
        for column, value in line.items()
        if column not in KEYS
    ]


def form(table: str, convention: str) -> str:
    """Path of the CSV file of a table under a convention."""
    return table.removesuffix(".csv") + SUFFIXES[convention]


def _scored(link: Link) -> str:
    """The CSV text of a row, computed from the files that its record names; empty where these cannot be read."""
    from semiseg.stages.row import as_csv

    assert link.record is not None  # chosen by rescore
    try:
        task = recorded_task(link.record, Path(), Options())
        if not all(path.is_file() for path in RULES["row"].read(task)):  # reading a pipe would never end
            return ""
        return as_csv(task.spec, task.several["cases"], task.files["split"])
    except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return ""


def _lines(path: str) -> Lines:
    return _by_convention(_read(path))


def _by_convention(lines: Sequence[dict[str, str]]) -> Lines:
    return {
        line.pop("convention", ""): {key: value for key, value in line.items() if key != "method"} for line in lines
    }


def _read(path: str) -> list[dict[str, str]]:
    try:
        if not Path(path).is_file():
            return []
        return _parsed(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _header(path: str) -> list[str]:
    """The names of the columns of a CSV file; none where it cannot be read."""
    try:
        return next(csv.reader(io.StringIO(Path(path).read_text(encoding="utf-8"))), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _parsed(text: str) -> list[dict[str, str]]:
    """The lines of a CSV file. A surplus or missing field gets a name of its own, so that it shows as a difference."""
    return [
        {str(key): str(value) for key, value in {"method": "", **line}.items()}
        for line in csv.DictReader(io.StringIO(text), restkey="(field too many)", restval="(no field)")
    ]


def _shown(value: str | None) -> str:
    return value if value else "nothing"
