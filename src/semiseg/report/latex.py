"""The table as LaTeX, for booktabs."""

from collections.abc import Sequence

import pandas as pd

from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import MINUS, UNDEFINED, mean_columns, under, with_unbuilt
from semiseg.report.grids import Grid, about_cells, optimism_grid, scores_grid, views_grid
from semiseg.report.groups import ZERO
from semiseg.report.notes import (
    BETTER,
    OPTIMISM,
    WORSE,
    about_controls,
    about_few_cases,
    about_never_found,
    about_optimism,
    about_splits,
    about_training,
    about_views,
    about_zeros,
    rule_change,
    views_title,
    why_unbuilt,
)
from semiseg.report.origin import about_records
from semiseg.report.views import Views, optimistic
from semiseg.scoring.conventions import CONVENTIONS
from semiseg.scoring.scoring_rule_texts import rule_text

SPECIAL = str.maketrans(
    {"\\": r"\textbackslash{}", **{sign: "\\" + sign for sign in "&%$#_{}"}, "~": r"\textasciitilde{}"}
    | {
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        UNDEFINED: "--",
        "×": r"$\times$",
        "≥": r"$\geq$",
        MINUS: "$-$",
    }
    | {BETTER: r"$\blacktriangle$", WORSE: r"$\blacktriangledown$", ZERO: r"$\dagger$"}
)
MARKUP = {"best": r"\textbf{%s}", "tied": r"\underline{%s}", "control": r"\textcolor{gray}{%s}", "": "%s"}


def latex(spec: TableSpec, table: pd.DataFrame, views: Views) -> str:
    """A floating table per convention, one of the means in all views, and one of the optimism where rows were chosen on
    the test list; controls grey at the end."""
    parts = [r"% needs \usepackage{amssymb,booktabs,graphicx,xcolor}"]
    for convention in CONVENTIONS:
        frame = with_unbuilt(spec, under(table, convention))
        notes = [rule_text(*frame.loc[0, ["rule", "spread_over"]]), about_cells(spec, views)]
        # what holds for both tables stands once: below the one that it belongs to
        if convention == "published":
            notes += [*about_zeros(spec, views), *about_training(spec), *why_unbuilt(spec)]
        else:
            notes += about_controls(spec, table)
        caption = [f"{spec.title}, {convention} convention.", *about_splits(spec)]
        parts += _float(f"{spec.table}:{convention}", caption, notes, [scores_grid(spec, frame, views)])
    caption = [f"{spec.title}, {views_title(views).lower()}.", rule_change(views), *about_never_found(spec, views)]
    caption += about_few_cases(views)
    grids = [views_grid(spec, table, views, column) for column in mean_columns(spec)]
    notes = [*about_views(spec, views), *about_zeros(spec, views), *about_records(spec)]
    parts += _float(f"{spec.table}:views", caption, notes, grids)
    if optimistic(spec):
        caption = [f"{spec.title}, {OPTIMISM.lower()}."]
        parts += _float(f"{spec.table}:optimism", caption, [about_optimism(views)], [optimism_grid(spec, table, views)])
    return "\n".join([*parts, ""])


def _float(name: str, caption: Sequence[str], notes: Sequence[str], grids: Sequence[Grid]) -> list[str]:
    """A floating table with notes below it; grids of equal width stand below each other."""
    return [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{' '.join(caption).translate(SPECIAL)}}}",
        rf"\label{{tab:{name}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(grids[0].head) - 1)}}}",
        r"\toprule",
        *[line for grid in grids for line in (r"\midrule", *_lines(grid))][1:],
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\smallskip",
        rf"\parbox{{\textwidth}}{{\footnotesize {' '.join(notes).translate(SPECIAL)}}}",
        r"\end{table*}",
    ]


def _lines(grid: Grid) -> list[str]:
    head, *rows = [
        " & ".join(cells) + r" \\"
        for cells in (
            [text.translate(SPECIAL) for text in grid.head],
            *([MARKUP[mark] % text.translate(SPECIAL) for text, mark in row] for row in grid.rows),
        )
    ]
    if 0 < grid.controls < len(rows):
        rows.insert(len(rows) - grid.controls, r"\midrule")
    return [head, r"\midrule", *rows]
