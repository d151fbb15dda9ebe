"""Checks the values per case of a table (``.cases.csv``): they are computed again from the runs' score tables."""

from collections.abc import Collection, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import digest
from semiseg.base.texts import counted
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.proof.audit.cache import recall, remember
from semiseg.proof.audit.verdicts import Finding, Verdict
from semiseg.proof.provenance import Link
from semiseg.scoring import case_table

CACHE = "case values"


def check_case_values(
    table: Link, other_code: Collection[str], hashes: Mapping[str, str | None], quick: bool
) -> Iterator[Finding]:
    """A finding where the values are not what the scores give. Nothing where either cannot be read here.

    other_code, hashes, quick: as of ``check_cells.rescore``. A file that was found right is kept in the cache.
    """
    path = table.main.removesuffix(".csv") + case_table.SUFFIX
    if table.record is None or table.main in other_code or not Path(path).is_file():
        return
    read = {entry.path: hashes.get(entry.path) for entry in table.inputs}
    key = digest([table.record["params"], table.record["code"]["hash"], read, hashes.get(path)])
    known = recall(CACHE)
    if quick and known.get(path) == key:
        return
    expected = _computed(table)
    if expected is None:
        return
    found = Path(path).read_bytes().decode(errors="replace")
    if found == expected:
        remember(CACHE, {**known, path: key})
        return
    pairs = list(zip_longest(expected.splitlines(), found.splitlines(), fillvalue="nothing"))
    differing = [pair for pair in pairs if pair[0] != pair[1]]
    first = f", first {differing[0][0]!r}, which the file has as {differing[0][1]!r}" if differing else ""
    text = f"is not what the scores give: {counted(len(differing), 'line')} {_are(len(differing))} other{first}"
    yield Finding(Verdict.CHANGED, path, text, table.main)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _computed(table: Link) -> str | None:
    """The file's text, computed from the score tables that lie here; None where one cannot be read."""
    from semiseg.report.views import read_scores

    assert table.record is not None  # checked by check_case_values
    try:
        spec = read_spec(TableSpec, table.record["params"], f"the record of {table.main}")
        scores = [Path(folder) / "cases.csv" for folders in spec.runs.values() for folder in folders]
        recorded = {entry.path for entry in table.inputs}
        if any(path.as_posix() in recorded and not path.is_file() for path in scores):
            return None  # the table was written with scores that are not here
        return case_table.as_csv(read_scores(spec), spec.seeds, spec.metrics)
    except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None
