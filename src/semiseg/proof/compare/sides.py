"""The two sides of a comparison: what the user names, as a table with its record, its values per case and its chain."""

import contextlib
import functools
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.base.names import guess
from semiseg.graph.targets import check_target
from semiseg.jobs.record import Record, is_measured
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.paths import LINEAGE, TABLE, record_path
from semiseg.proof.crate.reading import DESCRIPTION, unpack_crate
from semiseg.proof.provenance import Link, recorded_chain
from semiseg.scoring import case_table
from semiseg.scoring.averages import Scores
from semiseg.scoring.conventions import scoring_rules

SYNTAX = "results/TABLE.csv, results/TABLE.csv:ROW, a crate or CRATE:ROW"
NEEDED = (".csv", ".sound.csv")
_TABLE = re.compile(re.escape(TABLE).replace(r"\{table\}", r"\w+"))


@dataclass(frozen=True)
class Side:
    """A built table. name: as the user named it. folder: of its project; target: the table in it, results/T.csv.

    unpacked: whether the folder is a copy that is removed when the comparison ends. row: the method of the named row,
    None where a whole table is named. links: the recorded chain behind the table, of which the last made it.
    """

    name: str
    folder: Path
    target: str
    unpacked: bool
    row: str | None
    record: Record
    links: tuple[Link, ...]

    @functools.cached_property
    def spec(self) -> TableSpec:
        """The table's specification; UserError where another version wrote it. Two builds are compared without it."""
        return read_spec(TableSpec, self.record["params"], f"the record of {self.name}")

    @property
    def dataset(self) -> str:
        """The dataset of the table."""
        return str(self.record["params"].get("dataset"))

    @property
    def label(self) -> str:
        """The name of the row in its table; UserError where none was named."""
        return self.spec.label(self.chosen)

    @property
    def chosen(self) -> str:
        """The method of the row; UserError where none was named."""
        if self.row is None:
            raise UserError(f"{self.name} names no row: write {self.name}:ROW")
        return self.row

    def outputs(self) -> Mapping[str, str]:
        """Form of the table, as ``.sound.csv`` -> recorded sha256, without files that hold measured seconds."""
        head = self.target.removesuffix(".csv")
        entries = self.record["outputs"]
        return {one["path"].removeprefix(head): one["sha256"] for one in entries if not is_measured(one["path"])}

    def values(self) -> pd.DataFrame:
        """The values per case; UserError where they are missing or not the recorded ones."""
        path = self.folder / (self.target.removesuffix(".csv") + case_table.SUFFIX)
        frame = case_table.read(path)
        _check_recorded(self, path)
        return frame

    def scores(self, convention: str) -> Scores:
        """The scores of the row under a convention; UserError where the table has none of it."""
        frame = self.values()
        if self.chosen not in set(frame["method"]):
            raise UserError(
                f"{self.name}: the values per case of this row are not in the table, because its runs were not on the"
                f" machine that wrote it: bring the runs there and build {self.target} again"
            )
        rule = scoring_rules(self.spec.published)[convention]
        return case_table.scores_of(frame, self.chosen, convention, rule)


def open_side(name: str, stack: contextlib.ExitStack) -> Side:
    """Read what the user names (``SYNTAX``). A crate is checked and unpacked; ``stack`` removes the copy.

    Raises UserError, a sentence, for anything that is no table, crate or row, for a table without a whole record, and
    for a file that is not the recorded one.
    """
    place, row = _split(name)
    is_crate = place.suffix == ".zip" or (place / DESCRIPTION).is_file()
    folder, target = _from_crate(place, stack) if is_crate else _from_project(name, place)
    with contextlib.chdir(folder):
        links = tuple(recorded_chain(target))
    record, fault = links[-1].record, links[-1].fault
    if record is None:
        raise UserError(
            f"{name}: {fault}, so it cannot be compared: build the table again, or bring {record_path(target)}"
        )
    if record["rule"] != "table":
        raise UserError(f"{name} is no table: name {SYNTAX}")
    side = Side(name, folder, target, is_crate, None, record, links)
    for form in side.outputs():
        path = folder / (target.removesuffix(".csv") + form)
        if form in NEEDED or path.exists():  # the page may be left out
            _check_recorded(side, path)
    return side if row is None else replace(side, row=_method(name, side.spec, row))


def _split(name: str) -> tuple[Path, str | None]:
    """Place and row. A name with a colon that is a file or folder as it stands names no row."""
    place, colon, row = name.rpartition(":")
    if not colon or Path(name).exists():
        return Path(name), None
    if not row or not place:
        raise UserError(f"{name!r} lacks {'a row after' if place else 'a table before'} the colon: name {SYNTAX}")
    return Path(place), row


def _from_crate(crate: Path, stack: contextlib.ExitStack) -> tuple[Path, str]:
    """Unpack a crate. Raises UserError where it is damaged, unsafe, or holds other than one table."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-"))) / "project"
    names = unpack_crate(crate, folder)
    tables = [name.removesuffix(LINEAGE) for name in names if name.endswith(LINEAGE)]
    tables = [name for name in tables if _TABLE.fullmatch(name)]
    if len(tables) != 1:
        found = ", ".join(tables) or "none"
        raise UserError(f"{crate} holds {len(tables)} tables ({found}), expected one: give the crate of a table")
    return folder, tables[0]


def _from_project(name: str, path: Path) -> tuple[Path, str]:
    """The project's folder and the table in it, of a path that ends in results/TABLE.csv."""
    target = "/".join(path.parts[-2:])
    if not _TABLE.fullmatch(target):
        raise UserError(f"{name} is neither a table nor a crate: name {SYNTAX}")
    folder = path.absolute().parent.parent
    if folder.resolve() == Path.cwd():
        folder = Path()
        check_target(Path(target))
    if not path.is_file():
        raise UserError(f"{path} is not here: build it in its project with `snakemake {target}`, or correct its name")
    return folder, target


def _method(name: str, spec: TableSpec, row: str) -> str:
    """The method of a row, named by its method or its label."""
    labels = {spec.label(method): method for method in spec.runs}
    if row in spec.runs:
        return row
    if row in labels:
        return labels[row]
    if row in spec.rows or row in {spec.label(method) for method in spec.rows}:
        raise UserError(f"{name}: row {row!r} of table {spec.table} was not built, so that it has no numbers")
    known = ", ".join(sorted(spec.runs, key=is_control))
    raise UserError(f"table {spec.table} has no row {row!r}; it has: {known}{guess(row, [*spec.runs, *labels])}")


def _check_recorded(side: Side, path: Path) -> None:
    """Raise UserError where a file of the table is missing or is not the recorded one."""
    name = path.relative_to(side.folder).as_posix()
    expected: Any = next((one["sha256"] for one in side.record["outputs"] if one["path"] == name), None)
    if not path.is_file():
        raise UserError(f"{side.name}: {name} is missing: build the table again, or bring the file")
    if sha256(path) != expected:
        raise UserError(
            f"{side.name}: {name} is not the file that the table's record names, so that it proves nothing: see"
            f" `semiseg audit {side.target}` in its project, or build the table again"
        )
