"""Correlations of two methods' values over the test cases, measured in tables that were built in this project."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.base.metric_names import METRICS
from semiseg.dataset import get_dataset
from semiseg.jobs.record import Record, read_record
from semiseg.papers.check.prints import letters
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.paths import TABLE, record_path
from semiseg.scoring import case_table
from semiseg.scoring.averages import per_case

FEWEST_CASES = 3  # two points always lie on a line
CONVENTION = "published"
Pair = frozenset[str]


@dataclass(frozen=True)
class Measured:
    """The correlations in one table of real scans.

    pairs: column and two methods, by the names that match rows of all papers -> Pearson's r over the cases.
    """

    table: str
    dataset: str
    cases: int
    pairs: Mapping[tuple[str, Pair], float] = field(default_factory=dict)


def measure(folder: Path) -> list[Measured]:
    """The tables of a project that hold values per case of real scans, by name.

    folder: where results lie. Raises UserError for values that are not those that the table's record names.
    """
    lists = sorted((folder / TABLE).parent.glob(f"*{case_table.SUFFIX}"))
    whole = [path for path in lists if path.name.count(".") == case_table.SUFFIX.count(".")]  # no partial tables
    return [found for path in whole if (found := _measured(path, folder)) is not None]


def correlation(pair: Iterable[str], column: str, tables: Iterable[Measured]) -> tuple[float, str] | None:
    """The correlation of two methods in a column and the table that gives it, the first that has both; else None."""
    key = column, frozenset(pair)
    return next(((table.pairs[key], table.table) for table in tables if key in table.pairs), None)


def _measured(path: Path, folder: Path) -> Measured | None:
    csv = path.as_posix().removesuffix(case_table.SUFFIX) + ".csv"
    record = read_record(record_path(csv))
    spec = read_spec(TableSpec, record["params"], f"the record of {csv}")
    if get_dataset(spec.dataset).generate is not None:
        return None
    _check(path, path.relative_to(folder).as_posix(), record)
    frame = case_table.read(path)
    methods = [one for one in frame["method"].unique() if not is_control(one) and one not in spec.same_as]
    values = {one: per_case(case_table.scores_of(frame, one, CONVENTION, spec.published)) for one in methods}
    names = {one: {letters(name) for name in spec.names[one]} for one in methods}
    pairs: dict[tuple[str, Pair], float] = {}
    for one, other in combinations(methods, 2):
        for metric in spec.metrics:
            if (r := _pearson(values[one][metric], values[other][metric])) is not None:
                keys = (frozenset(pair) for pair in product(names[one], names[other]))
                pairs |= {(METRICS[metric], key): r for key in keys}
    return Measured(spec.table, spec.dataset, frame["case"].nunique(), pairs)


def _check(path: Path, name: str, record: Record) -> None:
    """Raise UserError for a list of values that is not the recorded one."""
    expected = next((entry["sha256"] for entry in record["outputs"] if entry["path"] == name), None)
    if expected != sha256(path):
        csv = name.removesuffix(case_table.SUFFIX) + ".csv"
        raise UserError(
            f"{path} is not the file that the table's record names: build the table again, or see `semiseg audit {csv}`"
        )


def _pearson(one: pd.Series, other: pd.Series) -> float | None:
    """Pearson's r of the cases that have a number in both; None with fewer than three, or without any spread."""
    both = pd.concat([one, other], axis=1).dropna().to_numpy(float)
    if len(both) < FEWEST_CASES or not both.std(axis=0).all():
        return None
    return float(np.corrcoef(both.T)[0, 1])
