"""A comparison as a page: one file without scripts, which works offline."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from semiseg.base.files import write_text
from semiseg.proof.compare import texts
from semiseg.proof.compare.builds import Cell, Verdict
from semiseg.proof.compare.sides import Side
from semiseg.scoring.paired import Pairs

DOTS_PER_INCH = 150


def write_rows(
    out: Path,
    about: Mapping[str, str],
    pairs: Pairs,
    cases: Sequence[str],
    drawn: tuple[Mapping[str, str], str],
    names: tuple[str, str],
) -> None:
    """Write the page of two rows. about: facts by name; cases: those that differ most; drawn: of ``pictures``."""
    from semiseg.report.figures.paired import draw_pairs
    from semiseg.report.figures.saving import as_address

    found, reason = drawn
    plot = as_address(draw_pairs(pairs, names, " and ".join(names)), DOTS_PER_INCH)
    shown = [{"address": plot, "text": "Dice of each case in both rows, and the differences of every organ and case"}]
    shown += [{"address": address, "text": f"Case {case}: truth and both rows"} for case, address in found.items()]
    tables = [
        _table(
            "Organs and means",
            texts.ROW_HEADS,
            [texts.line_texts(one) for one in pairs.lines],
            texts.notes(pairs),
        ),
        _table("Cases that differ most (Dice)", texts.CASE_HEADS, texts.case_texts(pairs, cases)),
        _table("Dice of every case and organ, A minus B", *_every(pairs)),
    ]
    _write(out, " and ".join(names), about, [], tables, shown, reason)


def write_builds(out: Path, first: Side, second: Side, verdict: Verdict, differing: Sequence[Cell]) -> None:
    """Write the page of two builds of a table, with all numbers that differ."""
    about = {"A": first.name, "B": second.name}
    lines = [texts.cell_texts(cell) for cell in differing]
    tables = [_table("Numbers that differ", texts.CELL_HEADS, lines)] if lines else []
    sentences = [*verdict.sentences, *verdict.lacking]
    _write(out, f"Two builds of {Path(first.target).stem}: {verdict.kind}", about, sentences, tables, [], "")


def _every(pairs: Pairs) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    from semiseg.report.cells import signed

    columns = pairs.cases if len(pairs.cases.columns) > 2 else pairs.cases[["mean"]]  # a single organ is the mean
    names = [str(name) for name in columns]
    lines = [
        (str(case), *(signed(float(value)) for value in values))
        for case, values in zip(columns.index, columns.to_numpy(float), strict=True)
    ]
    return ("case", *names), lines


def _table(caption: str, heads: Sequence[str], lines: Sequence[Sequence[str]], notes: Any = ()) -> dict[str, Any]:
    return {"caption": caption, "heads": heads, "lines": lines, "notes": list(notes)}


def _write(
    out: Path,
    title: str,
    about: Mapping[str, str],
    sentences: Sequence[str],
    tables: Sequence[Mapping[str, Any]],
    shown: Sequence[Mapping[str, str]],
    reason: str,
) -> None:
    loader = jinja2.FileSystemLoader(str(files("semiseg.proof.compare")))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    content = {
        "title": title,
        "about": about,
        "sentences": sentences,
        "tables": tables,
        "pictures": shown,
        "reason": reason,
    }
    write_text(out, environment.get_template("page.html.j2").render(content))
