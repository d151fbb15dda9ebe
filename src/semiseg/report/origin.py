"""By what a printed table is recognised: ids of lineage records, the commit and the version of the code."""

from dataclasses import dataclass
from pathlib import Path

from semiseg import __version__
from semiseg.jobs.environment import source
from semiseg.jobs.record import made_by
from semiseg.params.table_spec import TableSpec
from semiseg.paths import ROW
from semiseg.report.cells import methods_in_order

DIGITS = 12  # of an id, as `semiseg lineage` prints it


@dataclass(frozen=True)
class Origin:
    """What a page names of the job that wrote it. record: id of the table's record. commit: None outside git."""

    record: str
    commit: str | None
    edited: bool
    version: str


def origin_of(record: str) -> Origin:
    """The origin of a table that is written now. record: the id that its record will have."""
    found = source()
    return Origin(record, found["commit"], bool(found["dirty"]), __version__)


def about_records(spec: TableSpec) -> list[str]:
    """The records of the rows, in one sentence; nothing where the rows have none here.

    They name the rows' content, so that equal runs print equal ids. The id of the table's own record depends on the
    text in which this sentence stands, so that it cannot stand there itself.
    """
    paths = {method: Path(ROW.format(table=spec.table, method=method)) for method in methods_in_order(spec)}
    found = {spec.label(name): made_by(path) for name, path in paths.items() if name in spec.runs and path.exists()}
    named = [f"{label} {record[:DIGITS]}" for label, record in found.items() if record]
    return [f"Lineage records of the rows (semiseg lineage prints them): {', '.join(named)}."] if named else []
