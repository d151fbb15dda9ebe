"""The papers' numbers as data: one CSV per paper, one line per number, read and checked here (no torch).

A line: table, row, labelled, unlabelled, dataset, column, value, spread, spread_over, flag, note. Columns are the
dataset's organ abbreviations (mean Dice of an organ), means by the names of ``METRICS``, or plain lower-case names such
as ``dice gain``. Numbers keep the text that the paper prints. Table ``text`` holds numbers of the running text.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS
from semiseg.dataset import get_dataset

KEY = ("table", "row", "labelled", "unlabelled", "dataset", "column")
HEADER = (*KEY, "value", "spread", "spread_over", "flag", "note")
SPREAD_OVER = ("runs", "bootstrap", "cases", "unstated")
EMPTY_FLAGS = ("lost", "blank")
FLAGS = ("reconstructed", "doubtful", "cited", *EMPTY_FLAGS)
TEXT = "text"
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_PLAIN = re.compile(r"[a-z0-9][a-z0-9 .-]*")


def read_paper(paper: str) -> pd.DataFrame:
    """All numbers of a paper, as ``read_file`` gives them; UserError lists the known papers."""
    catalogue.require("published", paper)
    return read_file(sources.PACKAGE / "published" / f"{paper}.csv")


def read_file(path: Path) -> pd.DataFrame:
    """Lines of a file in its order: ``HEADER`` plus ``value_text`` and ``spread_text``.

    value and spread are floats (NaN where empty), value_text and spread_text what is printed; labelled and unlabelled
    are Int64 (NA where unknown); the rest is text. Raises UserError with file and line for anything that is not in
    order.
    """
    records, first = [], dict[tuple[str, ...], int]()
    for line, record in _records(path):
        if fault := _fault(record):
            raise UserError(f"{path}, line {line}: {fault}")
        key = tuple(record[name] for name in KEY)
        if key in first:
            shown = ", ".join(f"{name} {text!r}" for name, text in zip(KEY, key, strict=True))
            raise UserError(f"{path}, line {line}: {shown} stands in line {first[key]} already: keep one of the two")
        first[key] = line
        records.append(record)
    frame = pd.DataFrame(records, columns=HEADER, dtype=str)
    for name in ("value", "spread"):
        frame[f"{name}_text"] = frame[name]
        frame[name] = pd.to_numeric(frame[name])
    for name in ("labelled", "unlabelled"):
        frame[name] = pd.to_numeric(frame[name]).astype("Int64")
    return frame


def find(
    paper: str, table: str, labelled: int | None = None, unlabelled: int | None = None, dataset: str | None = None
) -> pd.DataFrame:
    """Numbers of a table, of one block or dataset where these are named; UserError lists what there is."""
    frame = read_paper(paper)
    within = frame[frame["table"] == table]
    found = within
    for name, wanted in (("labelled", labelled), ("unlabelled", unlabelled), ("dataset", dataset)):
        if wanted is not None:
            found = found[(found[name] == wanted).fillna(False)]
    if within.empty:
        raise UserError(f"{paper} has no table {table!r} in semiseg/published; it has: {', '.join(_unique(frame))}")
    if found.empty:
        raise UserError(
            f"{paper}, table {table}: no block with labelled {labelled}, unlabelled {unlabelled}, dataset {dataset}; "
            f"it has: {'; '.join(_blocks(within))}"
        )
    return found


def printed(paper: str, table: str, labelled: int | None, unlabelled: int | None) -> pd.DataFrame:
    """What a block of a table prints: row, column, value, spread, spread_over, flag, note, value_text, spread_text.

    A supervised row belongs to every block whose labelled cases, or whose cases altogether, it is trained on: GuidedNet
    prints one 42/0 for two blocks, DHC and its followers one 20/0 above 4/16. Counts may be None where the table has
    one block. Raises UserError when there is no such block, or several where counts are left out.
    """
    block = find(paper, table, labelled, unlabelled)
    if labelled is not None and unlabelled is not None:
        every = find(paper, table)
        supervised = (every["unlabelled"] == 0) & every["labelled"].isin([labelled, labelled + unlabelled])
        block = pd.concat([block, every[supervised.fillna(False)]])
        block = block.drop_duplicates(["row", "dataset", "column"])
    if block.duplicated(["row", "column"]).any():
        raise UserError(f"{paper}, table {table} has several blocks: name one of {'; '.join(_blocks(block))}")
    names = ["row", "column", "value", "spread", "spread_over", "flag", "note", "value_text", "spread_text"]
    return block[names].reset_index(drop=True)


def _unique(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame["table"].unique()]


def _blocks(frame: pd.DataFrame) -> list[str]:
    counts = frame[["labelled", "unlabelled", "dataset"]].drop_duplicates()
    return [f"{row.labelled}:{row.unlabelled} {row.dataset}" for row in counts.itertuples()]


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: install semiseg again") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from None
    lines = csv.reader(io.StringIO(text), strict=True)
    try:
        if tuple(next(lines, ())) != HEADER:
            raise UserError(f"{path}, line 1: expected the header {','.join(HEADER)}: put it there")
        for fields in lines:
            if len(fields) != len(HEADER):
                raise UserError(
                    f"{path}, line {lines.line_num}: {len(fields)} fields, expected {len(HEADER)}: quote texts that "
                    "contain a comma"
                )
            yield lines.line_num, dict(zip(HEADER, fields, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}, line {lines.line_num}: not CSV ({error}): check the quotes") from None


def _fault(record: dict[str, str]) -> str | None:
    """What is wrong with a line, what is expected and what to do; None where nothing is."""
    if not record["table"] or not record["row"]:
        return "table or row is empty: name both"
    for name in ("labelled", "unlabelled"):
        if record[name] and not record[name].isdecimal():
            return f"{name} is {record[name]!r}, expected a whole number or nothing"
    if record["dataset"] not in catalogue.entries("datasets"):
        return f"unknown dataset {record['dataset']!r}: write one of {', '.join(catalogue.entries('datasets'))}"
    return _column_fault(record) or _number_fault(record)


def _column_fault(record: dict[str, str]) -> str | None:
    column = record["column"]
    known = [*(organ.abbreviation for organ in get_dataset(record["dataset"]).organs), *METRICS.values()]
    if column in known:
        return None
    if meant := [name for name in known if name.lower() == column.lower()]:
        return f"unknown column {column!r}: write {meant[0]!r}"
    if not _PLAIN.fullmatch(column):
        return f"unknown column {column!r}: write one of {', '.join(known)}, or a plain lower-case name"
    return None


def _number_fault(record: dict[str, str]) -> str | None:
    flag = record["flag"]
    if flag and flag not in FLAGS:
        return f"unknown flag {flag!r}: write one of {', '.join(FLAGS)}, or nothing"
    for name in ("value", "spread"):
        if record[name] and not _NUMBER.fullmatch(record[name]):
            return f"{name} {record[name]!r} is not a number: write digits with a decimal point, as printed"
    if bool(record["value"]) == (flag in EMPTY_FLAGS):
        return "an empty value needs the flag lost or blank, and only an empty one may have it: correct one of them"
    if flag and flag not in ("blank", "cited") and not record["note"]:
        return f"the flag {flag} has no note: say how it was read or recovered"
    if bool(record["spread"]) != bool(record["spread_over"]):
        return "spread and spread_over stand together or not at all: fill or empty both"
    if record["spread_over"] and record["spread_over"] not in SPREAD_OVER:
        return f"unknown spread_over {record['spread_over']!r}: write one of {', '.join(SPREAD_OVER)}"
    return None
