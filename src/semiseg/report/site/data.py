"""What the site shows of each table: one that is built is read from its files, of any other its definition is shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.jobs.record import Record, read_record
from semiseg.papers.reading import printed
from semiseg.params.table import Printed
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.paths import TABLE, record_path
from semiseg.report.groups import GROUPS, PLACES
from semiseg.report.lineage import lineage_of_rows
from semiseg.report.site.cases import CaseScores, read_case_scores
from semiseg.scoring.case_table import SUFFIX
from semiseg.scoring.conventions import CONVENTIONS

TEXTS = (
    *("method", "label", "column", "reason", "device", "printed_flag", "printed_spread_over"),
    *GROUPS,
)
NOT_AUDITED = "not audited"
PROVEN = "proven"
CHANGED = "changed"
WORDS = {  # what a verdict on a row means
    PROVEN: "the last `semiseg audit` found every number proven, and the table's files are still the same",
    NOT_AUDITED: "no audit of these files is known on the machine where the site was built: run `semiseg audit`",
    "stale": "made by other code or parameters than those of the project today",
    "unproven": "no record shows how it was made",
    "missing": "a file behind it is missing",
    CHANGED: "a file of the table is not what its record says, or a number is not what the scores give",
}


@dataclass(frozen=True)
class Definition:
    """A table as params.yaml defines it. rows: method -> label.

    unformed: that its list of cases cannot be formed from what the publisher offers, in a sentence, where it cannot.
    instead: a table with a list that can be. caveats: of the table and of its list. error: why its files cannot be
    shown, where they are here all the same.
    """

    name: str
    title: str
    paper: str | None
    dataset: str
    protocol: str
    published: str
    printed: tuple[Printed, ...]
    rows: Mapping[str, str]
    unformed: str = ""
    instead: str | None = None
    caveats: tuple[str, ...] = ()
    error: str | None = None

    @property
    def target(self) -> str:
        """The file that Snakemake is asked for."""
        return TABLE.format(table=self.name)

    @property
    def numbers(self) -> list[dict[str, Any]]:
        """The printed numbers, a block of a paper's table after the other: paper, table, counts, columns and rows."""
        return [_block(block) for block in self.printed]


@dataclass(frozen=True)
class Built:
    """A table that is built. table: rows of both conventions.

    cases: per row and convention the scores of its test cases. verdicts: per row a key of ``WORDS``. changed: the
    table's files that are not those of its record. is_earlier: an earlier version of semiseg built the table, so that
    its views have no groups, and its intervals are of another kind. audited: the day of the last audit,
    where one is known.
    """

    spec: TableSpec
    record: Record
    table: pd.DataFrame
    views: pd.DataFrame
    cost: pd.DataFrame
    cases: Mapping[str, Mapping[str, CaseScores]]
    verdicts: Mapping[str, str]
    changed: tuple[str, ...] = field(default=())
    is_earlier: bool = False
    audited: str = ""

    @property
    def name(self) -> str:
        """The table's name."""
        return self.spec.table

    def meaning_of(self, verdict: str) -> str:
        """What a verdict means, with the day of the last audit where it is known."""
        day = f" (last audit: {self.audited})" if self.audited and verdict != NOT_AUDITED else ""
        return f"{WORDS[verdict]}{day}"

    @cached_property
    def origins(self) -> dict[str, dict[str, Any]]:
        """Per row that is built the files that it was made from."""
        return lineage_of_rows(self.spec, Path(TABLE.format(table=self.name)))

    @cached_property
    def groups(self) -> dict[tuple[str, str, str], str]:
        """(convention, row, column) -> best, tied (it cannot be told from the best) or apart, from the views.

        Nothing where the table was built before views had groups.
        """
        keys = list(zip(self.views["method"], self.views["column"], strict=True))
        return {
            (convention, *key): group
            for convention in CONVENTIONS
            for key, group in zip(keys, self.views[f"{convention}_group"], strict=True)
            if group
        }


def table_files(name: str) -> list[str]:
    """The files that every built table has."""
    stem = TABLE.format(table=name).removesuffix(".csv")
    return [f"{stem}{form}" for form in (".csv", ".sound.csv", ".views.csv", ".cost.csv")]


def copied_files(name: str) -> list[str]:
    """The files of a built table that lie beside its page: ``table_files``, and that of the cases where it is here."""
    cases = Path(TABLE.format(table=name)).with_suffix(SUFFIX)
    return [*table_files(name), *([cases.as_posix()] if cases.exists() else [])]


def read_built(
    definition: Definition, record_id: str, audit: str | Mapping[str, str] | None, audited: str = ""
) -> Built | Definition:
    """A table from its files and their record; its definition with an error where one of them cannot be read.

    record_id: the record that the site was planned for. audit: the last audit's verdict on all rows, or row by row;
    None where none is known. audited: the day of that audit. Raises UserError where another record lies there now.
    """
    where = record_path(definition.target)
    try:
        record = read_record(where)
        spec = read_spec(TableSpec, record["params"], where)
        built = replace(_read(spec, record, audit), audited=audited)
    except (OSError, ValueError, KeyError) as error:
        return with_error(definition, f"its files cannot be read ({error})")
    except UserError as error:
        return with_error(definition, str(error))
    if record["id"] != record_id:
        raise UserError(f"{definition.target} was built again since this site was planned: call snakemake again")
    return built


def with_error(definition: Definition, error: str) -> Definition:
    """The definition of a table whose files are here and cannot be shown."""
    return replace(definition, error=error)


def _read(spec: TableSpec, record: Record, audit: str | Mapping[str, str] | None) -> Built:
    csv, sound, views, cost = (_frame(Path(path)) for path in table_files(spec.table))
    changed = _changed(record)
    return Built(
        spec=spec,
        record=record,
        table=pd.concat([csv, sound], ignore_index=True),
        views=_with_places(views),
        cost=cost,
        cases=read_case_scores(spec),
        verdicts=_verdicts(spec, audit, changed),
        changed=tuple(changed),
        is_earlier=not {*PLACES} <= {*views},
    )


def _with_places(views: pd.DataFrame) -> pd.DataFrame:
    """Views with the columns of ranks and groups, which are empty where an earlier version built the table."""
    absent = [name for name in PLACES if name not in views]
    return views.assign(**{name: "" if name in GROUPS else float("nan") for name in absent})


def _frame(path: Path) -> pd.DataFrame:
    texts = dict.fromkeys(TEXTS, str)
    frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    return frame.fillna(dict.fromkeys((name for name in texts if name in frame), ""))


def _changed(record: Record) -> list[str]:
    """The files of a record that are missing or not what was made. The table's own page does not count."""
    outputs = ((Path(entry["path"]), entry["sha256"]) for entry in record["outputs"])
    files = ((path, made) for path, made in outputs if path.suffix != ".html")
    return [path.as_posix() for path, made in files if not path.is_file() or sha256(path) != made]


def _verdicts(spec: TableSpec, audit: str | Mapping[str, str] | None, changed: list[str]) -> dict[str, str]:
    """Per row that is built its verdict. A word that is no verdict counts as none."""
    known = audit if isinstance(audit, Mapping) else dict.fromkeys(spec.runs, audit)
    found = {method: known.get(method) for method in spec.runs}
    return {method: CHANGED if changed else word if word in WORDS else NOT_AUDITED for method, word in found.items()}


def _block(block: Printed) -> dict[str, Any]:
    lines = printed(block.paper, block.table, block.labelled, block.unlabelled)
    columns = list(dict.fromkeys(lines["column"]))
    texts = {
        (line["row"], line["column"]): f"{line['value_text']}"
        + (f" ± {line['spread_text']}" * bool(line["spread_text"]))
        for line in lines.to_dict("records")
    }
    rows = list(dict.fromkeys(lines["row"]))
    counts = [(block.labelled, "labelled"), (block.unlabelled, "unlabelled")]
    return {
        "title": f"{block.paper}, table {block.table}",
        "counts": ", ".join(f"{count} {name}" for count, name in counts if count is not None),
        "columns": columns,
        "rows": [(row, [texts.get((row, column), "") for column in columns]) for row in rows],
    }
