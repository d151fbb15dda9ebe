"""Writes the pages of the site. Every link leads to a file of the site, so the folder can lie anywhere."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from semiseg import __version__
from semiseg.base.controls import is_control
from semiseg.base.files import read_json, write_text
from semiseg.base.texts import counted, listed
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import main_column, methods_in_order, under
from semiseg.report.charts import choose_looks, draw_totals, draw_validations
from semiseg.report.notes import (
    about_few_cases,
    about_marks,
    about_never_found,
    about_print,
    about_splits,
    about_tests,
    about_training,
    about_zeros,
    why_unbuilt,
)
from semiseg.report.pictures import organ_colours
from semiseg.report.site.cases import CaseScores, worst_case
from semiseg.report.site.data import PROVEN, Built, Definition, copied_files
from semiseg.report.site.data_table import DataTable
from semiseg.report.site.definitions import DEFINITIONS
from semiseg.report.site.documents import Document
from semiseg.report.site.making import cost_table, hashes_of, protocol_pairs
from semiseg.report.site.tables import (
    all_rows,
    all_tables,
    case_table,
    has_tests,
    row_page,
    score_table,
    summary,
    table_page,
)
from semiseg.report.site.volumes import Volumes
from semiseg.report.sources import read_histories
from semiseg.report.texts import PARTS, describe_making, value_text
from semiseg.scoring.conventions import CONVENTIONS
from semiseg.scoring.scoring_rule_texts import rule_text

STATIC = ("site.css", "site.js", "viewer.js", "niivue.umd.js", "niivue.LICENSE.txt")
CONTROLS = (
    "Grey rows are controls, which are not trained and do not compete: the perfect answer is the truth itself, so its"
    " numbers are the most that a label map on the grid can reach (soft scores of a network may be above them); the"
    " empty answer predicts nothing, so its numbers are what a rule gives for that."
)
EARLIER = (
    "An earlier version of semiseg built this table: its intervals are those of that version, and nothing is known of"
    " which rows can be told from the best. The commit above names the version."
)
LABELS = {
    "method": "Method", "table": "Table", "dataset": "Dataset", "family": "Family", "paper": "Paper", "rows": "Rows",
    "case": "Case", "labelled": "Lab.", "unlabelled": "Unlab.", "organ": "An organ's column", "printed": "In print",
    "published": "Published rule", "sound": "Sound rule", "n": "n", "p": "p (Holm)", "effect": "Effect",
    "missed": "Missed", "checkpoint": "Checkpoint", "group": "Group", "proof": "Proof",
}  # fmt: skip


class Pages:
    """The templates, with what all pages share, and the folder that they are written to."""

    def __init__(self, folder: Path, documents: Sequence[Document]) -> None:
        self.folder, self.written = folder, list[Path]()
        loader = jinja2.FileSystemLoader(str(files("semiseg.report.site")))
        self.templates = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
        self.templates.globals |= {"version": __version__, "documents": documents, "definitions": DEFINITIONS}
        self.templates.globals |= {"file_stem": ""}
        self.templates.filters["marked"] = _marked

    def write(self, path: str, template: str, **content: Any) -> None:
        """Write a page by its template. path: in the site's folder."""
        self.copy(path, self.templates.get_template(f"pages.{template}.html.j2").render(content).lstrip("\n"))

    def copy(self, path: str, text: str) -> None:
        """Write a file of the site as it is."""
        self.written.append(self.folder / path)
        write_text(self.written[-1], text)

    def static(self) -> None:
        """Style, scripts and the viewer with its licence."""
        for name in STATIC:
            self.copy(f"static/{name}", (files("semiseg.report.site") / f"pages.{name}").read_text(encoding="utf-8"))

    def documents(self, documents: Iterable[Document]) -> None:
        """The texts of the docs folder."""
        for page in documents:
            self.write(page.file, "document", title=page.title, content=page.content)

    def index(self, tables: Sequence[Built | Definition]) -> None:
        """The list of tables, and every row of those that are built."""
        built = [table for table in tables if isinstance(table, Built)]
        proven = sum(summary(table) == PROVEN for table in built)
        rows = sum(len(table.spec.runs) for table in built)
        more = [table for table in tables if isinstance(table, Definition)]
        unformed = sum(bool(table.unformed) for table in more)
        others = f"; {counted(len(more), 'more table')} {'is' if len(more) == 1 else 'are'} defined" if more else ""
        others += f", {unformed} of them over lists of cases that cannot be formed today" if unformed else ""
        text = (
            f"{counted(len(built), 'table')} with {counted(rows, 'row')} {'is' if len(built) == 1 else 'are'} built,"
            f" {proven} of them proven by an audit{others}."
        )
        shown_tables, shown_rows = all_tables(tables), all_rows(built)
        meaning = _meanings([shown_tables, shown_rows])
        self.write("index.html", "index", tables=shown_tables, rows=shown_rows, summary=text, meaning=meaning)

    def planned(self, table: Definition) -> None:
        """The page of a table that is not built, with its printed numbers."""
        self.write(table_page(table.name), "planned", table=table)

    def table(self, built: Built) -> None:
        """The page of a table, and beside it the table's files."""
        spec = built.spec
        scores = []
        for convention in CONVENTIONS:
            frame = under(built.table, convention)
            words = rule_text(str(frame["rule"][0]), frame["spread_over"][0])
            scores.append((score_table(built, convention), words))
        split = Path(spec.split)
        copied = copied_files(spec.table)
        names = [Path(path).name for path in copied]
        for path, name in zip(copied, names, strict=True):
            self.copy(f"tables/{name}", Path(path).read_text(encoding="utf-8"))
        look = choose_looks({method: spec.label(method) for method in methods_in_order(spec) if not is_control(method)})
        histories = {method: runs for method, runs in read_histories(spec).items() if method in look}
        drawn = [draw_totals(histories, look), draw_validations(histories, look)] if histories else []
        cost = cost_table(built)
        few = [] if built.is_earlier else about_few_cases(built.views)
        zero = about_zeros(spec, built.views)
        tests = [about_tests(spec, built.views)] if has_tests(built) else []
        marks = [EARLIER] if built.is_earlier else about_marks(spec, built.views)
        self.write(
            table_page(spec.table),
            "table",
            spec=spec,
            record=_record(built),
            proof=f"{summary(built)}: {built.meaning_of(summary(built))}",
            changed=built.changed,
            making=describe_making(spec, read_json(split)) if split.exists() else "",
            warnings=[*about_splits(spec), *about_never_found(spec, built.views), *few],
            notes=[*about_training(spec), *why_unbuilt(spec), *about_print(spec, built.views), *marks, *tests],
            scores=scores,
            zeros=zero,
            controls=[CONTROLS] if any(map(is_control, spec.runs)) else [],
            files=names,
            cost=cost,
            curves=[Markup(drawing) for drawing in drawn if drawing],
            look=[style for method, style in look.items() if method in histories],
            protocol=protocol_pairs(spec),
            parts=[(name, read_json(split)[part]) for part, name in PARTS.items()] if split.exists() else [],
            meaning=_meanings([table for table, _ in scores]),
            file_stem=f"{spec.table}-",
        )

    def row(self, built: Built, method: str, volumes: Mapping[str, Volumes]) -> None:
        """The page of a row. volumes: case -> what of it is in the site. A case without volumes is not among them."""
        spec, told, scores = built.spec, built.origins[method], built.cases[method]
        main = main_column(spec)
        tables = [(case_table(convention, found, main), rule_text(found.rule)) for convention, found in scores.items()]
        hashes = hashes_of(built, method)
        origin = [("Numbers", told["numbers"])]
        origin += [(f"Run with seed {run['seed']}", run["files"]) for run in told["runs"]]
        origin += [("Data", told["data"])]
        picture = f"pictures/{spec.table}/{method}.png"
        shown_cases = {case: method in one.predictions for case, one in volumes.items()}
        organs = zip(spec.organs, organ_colours(len(spec.organs)), strict=True)
        self.write(
            row_page(spec.table, method),
            "row",
            spec=spec,
            method=method,
            label=spec.label(method),
            record=_record(built),
            proof=f"{built.verdicts[method].capitalize()}: {built.meaning_of(built.verdicts[method])}",
            notes=[CONTROLS] if is_control(method) else [],
            cases=tables,
            seeds=spec.seeds,
            worst=worst_case(scores),
            picture=f"../../{picture}" if (self.folder / picture) in self.written else "",
            volumes=bool(volumes),
            shown=shown_cases,
            organs=[[organ.id, organ.abbreviation, organ.name, colour] for organ, colour in organs],
            missing=_missing(spec, method, scores, volumes),
            origin=[
                (title, [{**one, "sha256": hashes.get(one["path"], "")} for one in found]) for title, found in origin
            ],
            commands=told["commands"],
            hyper=[(name, value_text(value)) for name, value in spec.hyper[method].items()],
            meaning=_meanings([table for table, _ in tables]),
            file_stem=f"{spec.table}-{method}-",
        )


def _marked(text: str) -> Markup:
    """A text in which what stands between backticks is code."""
    parts = (escape(part) for part in text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _missing(spec: TableSpec, method: str, scores: Mapping[str, CaseScores], volumes: Mapping[str, Volumes]) -> str:
    """What a reader does not find on the page of a row, and the command that brings it; empty where all is there."""
    if not scores:
        paths = " ".join(f"{folder}/cases.csv" for folder in spec.runs[method])
        return (
            f"The scores of single cases were not on the machine where the site was built: `snakemake {paths}`,"
            " which needs the data, and trains each run whose weights are not there."
        )
    if is_control(method):
        return "A control's prediction is known without a picture."
    if unfit := [case for case, one in volumes.items() if method in one.unfit]:
        return (
            f"The prediction of {listed(unfit)} has another shape than the prepared scan, so it is not shown:"
            f" `snakemake --force {spec.runs[method][0]}/predictions.json`, then build the site again."
        )
    if not any(method in one.predictions for one in volumes.values()):
        return (
            "The scans or this row's predictions were not on the machine where the site was built:"
            f" `snakemake --force {spec.runs[method][0]}/predictions.json`, which needs the data, and trains where the"
            " weights are not there; then build the site again."
        )
    return ""


def _record(built: Built) -> dict[str, Any]:
    record, source = built.record, built.record.get("source") or {}
    time = (record.get("time") or {}).get("end", "at an unknown time")
    identity = str(record["id"])
    commit = {"commit": source.get("commit"), "dirty": source.get("dirty")}
    return {"id": identity, "short": identity[:12], "time": time, **commit}


def _meanings(tables: Iterable[DataTable]) -> list[tuple[str, str]]:
    used = dict.fromkeys(column.meaning for table in tables for column in table.columns if column.meaning)
    return [(name, LABELS.get(name, name)) for name in used]
