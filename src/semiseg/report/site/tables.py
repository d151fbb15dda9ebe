"""The tables of the site; their rows are in the pages, so that no script is needed to read them."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.params.checkpoints import own_checkpoint
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import (
    DATA,
    UNDEFINED,
    count,
    heading,
    interval,
    lines_of,
    main_column,
    mean_columns,
    number,
    p_text,
    printed_columns,
    signed,
    spread,
    unbuilt,
    under,
    with_unbuilt,
)
from semiseg.report.groups import WORDS as GROUP_WORDS
from semiseg.report.groups import ZERO, zeros
from semiseg.report.site.cases import CaseScores
from semiseg.report.site.data import WORDS, Built, Definition
from semiseg.report.site.data_table import GROUP, PROOF, Cell, Column, DataTable
from semiseg.report.site.definitions import DEFINITIONS
from semiseg.report.views import of_column
from semiseg.scoring.conventions import CONVENTIONS

CHECKPOINTS = {"last": "last", "best_validation": "best on validation", "best_test": "best on the test list"}
NOT_BUILT = "not built yet"
DICE = METRICS["dice"]


def row_page(table: str, method: str) -> str:
    """The page of a row, from the folder of the site."""
    return f"rows/{table}/{method}.html"


def table_page(table: str) -> str:
    """The page of a table, from the folder of the site."""
    return f"tables/{table}.html"


def checkpoint_of(spec: TableSpec, method: str) -> str:
    """Which weights a row shows, in words."""
    if is_control(method):
        return "control"
    if method in spec.imported:
        return "imported"
    if method in spec.checkpoints:
        return CHECKPOINTS[spec.checkpoints[method].rule]
    changed = {one.key: one.own for one in getattr(spec.own_protocols.get(method), "differences", ())}
    known = [value for key, value in changed.items() if key.startswith("training.validation")]
    if not known:
        return CHECKPOINTS[own_checkpoint(spec.training)]
    return CHECKPOINTS["last" if known == [None] else "best_validation"]


def score_table(built: Built, convention: str) -> DataTable:
    """The rows of a table under one convention."""
    spec, means = built.spec, mean_columns(built.spec)
    frame = with_unbuilt(spec, under(built.table, convention))
    unit, reasons = str(frame["unit"][0]), unbuilt(spec)
    organs = [column for column in printed_columns(spec) if column not in means]
    tested = convention == "sound" and has_tests(built)
    verdicts = [*([GROUP] if built.groups else []), PROOF]
    in_print = convention == "published" and [c for c in means if of_column(built.views, c)["printed"].notna().any()]
    columns = [
        Column("method", "Method", "method"),
        Column("lab", "Lab.", "labelled"),
        Column("unlab", "Unlab.", "unlabelled"),
        *(Column(name, heading(name, unit), name) for name in means),
        *verdicts,
        *(Column(name, heading(name, unit), "organ") for name in organs),
        *(Column(f"printed {name}", f"{name} in print", "printed") for name in in_print or ()),
        Column("n", "n", "n"),
        Column("missed", "Missed", "missed"),
        *((Column("p", "p (Holm)", "p"), Column("effect", "Effect", "effect")) if tested else ()),
        Column("checkpoint", "Checkpoint", "checkpoint", filtered=True),
    ]
    lines = of_column(built.views, main_column(spec))
    tests = {line.method: (p_text(line), signed(line.effect)) for line in lines_of(lines)} if tested else {}
    intervals = {
        (line.method, line.column): interval(getattr(line, f"{convention}_low"), getattr(line, f"{convention}_high"))
        for line in lines_of(built.views)
    }
    printed = {
        (line.method, line.column): number(line.printed)
        + f" ± {line.printed_spread:.2f}" * pd.notna(line.printed_spread)
        for line in lines_of(built.views)
    }
    zero = {column: zeros(spec, of_column(built.views, column), convention) for column in means}
    rows, kinds = [], []
    for row, method in enumerate(frame["method"]):
        label = str(frame["label"][row])
        cells = [Cell(label, href=f"../{row_page(spec.table, method)}" if method not in reasons else "")]
        cells += [Cell(UNDEFINED if is_control(method) else count(frame[name][row])) for name in DATA]
        numbers = {}
        for column in (*means, *organs):
            text, wide = number(frame[column][row]), column in means
            beside = spread(frame, row, column) + (intervals.get((method, column), "") if wide else "")
            link = "" if method in reasons or text == "–" else _cases_link(spec, method, convention, column)
            sign = ZERO * (wide and zero[column][row] > 0)
            group = "" if sign else built.groups.get((convention, method, column), "")
            spoken = f", {GROUP_WORDS[group]}" if group in GROUP_WORDS else ""
            more = f"{column} of {label}{spoken}: cases and origin"
            numbers[column] = Cell(text, sign + beside, link, more, group if spoken else "")
        cells += [numbers[column] for column in means]
        if built.groups:
            cells.append(Cell(built.groups.get((convention, method, main_column(spec)), "–")))
        cells.append(Cell(NOT_BUILT if method in reasons else built.verdicts[method]))
        cells += [numbers[column] for column in organs]
        cells += [Cell(printed.get((method, column), "–")) for column in in_print or ()]
        cells += [Cell(count(frame[name][row])) for name in ("n", "missed")]
        p, effect = tests.get(method, ("", ""))
        cells += [Cell("reference" if method == spec.reference else p), Cell(effect)] if tested else []
        cells.append(Cell(checkpoint_of(spec, method)))
        rows.append(tuple(cells))
        kinds.append("control" if is_control(method) else "unbuilt" if method in reasons else "")
    title = f"{convention.capitalize()} rule"
    return DataTable(f"{convention}", title, tuple(columns), tuple(rows), tuple(kinds))


def has_tests(built: Built) -> bool:
    """Whether any row of the table was tested against the reference."""
    return bool(of_column(built.views, main_column(built.spec))["effect"].notna().any())


def _cases_link(spec: TableSpec, method: str, convention: str, column: str) -> str:
    """Address of the row's cases, the worst of this column first."""
    order = "desc" if column in LOWER_IS_BETTER else "asc"
    return f"../{row_page(spec.table, method)}#{convention}.sort={quote(column)}-{order}"


def case_table(convention: str, scores: CaseScores, main: str) -> DataTable:
    """The test cases of a row under one convention, the worst first; behind, the main column of each run."""
    columns = [Column("case", "Case", "case")]
    names = list(scores.values.columns)
    columns += [Column(name, heading(name, scores.unit), name if name in DEFINITIONS else "organ") for name in names]
    columns += [Column(f"seed {seed}", f"{main}, seed {seed}", main) for seed in scores.runs]
    rows = tuple(
        (Cell(str(case)), *(Cell(number(value)) for value in (*values, *runs)))
        for case, values, runs in zip(
            scores.values.index, scores.values.to_numpy(float), scores.runs.to_numpy(float), strict=True
        )
    )
    title = f"{convention.capitalize()} rule, case by case"
    return DataTable(convention, title, tuple(columns), rows, ("",) * len(rows), cases=True)


def all_tables(tables: Sequence[Built | Definition]) -> DataTable:
    """One line per table of the project, those that are built first."""
    columns = (
        Column("table", "Table", "table"),
        PROOF,
        Column("title", "Title", text=True),
        Column("dataset", "Dataset", "dataset", filtered=True),
        Column("family", "Family", "family", filtered=True),
        Column("paper", "Paper", "paper", filtered=True),
        Column("rows", "Rows", "rows"),
    )
    rows = [(table_line(table), "" if isinstance(table, Built) else "unbuilt") for table in tables]
    lines, kinds = zip(*rows, strict=True) if rows else ((), ())
    return DataTable("tables", "Tables", columns, lines, kinds)


def table_line(table: Built | Definition) -> tuple[Cell, ...]:
    """The cells of a table in the list of tables."""
    if isinstance(table, Built):
        spec, rows, proof = table.spec, f"{len(table.spec.runs)}", summary(table)
    else:
        spec, rows = table, f"{len(table.rows)}"  # type: ignore[assignment]
        proof = "cannot be read" if table.error else NOT_BUILT
    texts = (proof, spec.title, spec.dataset, spec.published, spec.paper or "own table", rows)
    return Cell(table.name, href=table_page(table.name)), *map(Cell, texts)


def summary(built: Built) -> str:
    """The worst verdict on a row of a table."""
    order = list(WORDS)
    return max(built.verdicts.values(), key=order.index)


def all_rows(tables: Sequence[Built]) -> DataTable:
    """Every row of every built table: its main column under both conventions, the number in print, and its origin.

    Which metric that is stands in each row as soon as it is another than Dice in one of the tables.
    """
    ranked = any(table.groups for table in tables)
    mixed = any(main_column(table.spec) != DICE for table in tables)
    columns = (
        Column("method", "Method", "method"),
        PROOF,
        Column("table", "Table", "table", filtered=True),
        Column("dataset", "Dataset", "dataset", filtered=True),
        Column("family", "Family", "family", filtered=True),
        Column("checkpoint", "Checkpoint", "checkpoint", filtered=True),
        Column("lab", "Lab.", "labelled"),
        Column("unlab", "Unlab.", "unlabelled"),
        *([Column("metric", "Metric", filtered=True)] if mixed else []),
        Column("printed", "In print" if mixed else f"{DICE} in print", "printed"),
        Column("published", "Published rule" if mixed else f"{DICE}, published rule (%)", "published"),
        Column("sound", "Sound rule" if mixed else f"{DICE}, sound rule (%)", "sound"),
        *([GROUP] if ranked else []),
    )
    rows = [(cells, kind) for table in tables for cells, kind in _row_lines(table, ranked, mixed)]
    lines, kinds = zip(*rows, strict=True) if rows else ((), ())
    return DataTable("rows", "Every row of every table", columns, lines, kinds)


def _row_lines(built: Built, ranked: bool, mixed: bool) -> Iterator[tuple[tuple[Cell, ...], str]]:
    spec = built.spec
    main = main_column(spec)
    units = {convention: str(under(built.table, convention)["unit"][0]) for convention in CONVENTIONS}
    metric = f"{main} (%)" if main not in LOWER_IS_BETTER else f"{main} ({', '.join(map(' '.join, units.items()))})"
    counts = under(built.table, "published").set_index("method")
    for line in lines_of(of_column(built.views, main)):
        method = str(line.method)
        if method not in spec.runs:
            continue
        page = row_page(spec.table, method)
        yield (
            (
                Cell(spec.label(method), href=page),
                Cell(built.verdicts[method]),
                Cell(spec.table, href=table_page(spec.table)),
                Cell(spec.dataset),
                Cell(spec.published),
                Cell(checkpoint_of(spec, method)),
                *(Cell(UNDEFINED if is_control(method) else count(int(counts[name][method]))) for name in DATA),
                *([Cell(metric)] if mixed else []),
                Cell(number(line.printed)),
                Cell(number(line.published), interval(line.published_low, line.published_high)),
                Cell(number(line.sound), interval(line.sound_low, line.sound_high)),
                *([Cell(built.groups.get(("sound", method, main), "–"))] if ranked else []),
            ),
            "control" if is_control(method) else "",
        )
