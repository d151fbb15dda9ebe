"""The table as Markdown."""

import pandas as pd

from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import mean_columns, under, with_unbuilt
from semiseg.report.grids import Grid, about_cells, optimism_grid, scores_grid, views_grid
from semiseg.report.notes import (
    OPTIMISM,
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

MARKUP = {"best": "**{}**", "tied": "<ins>{}</ins>", "control": "*{}*", "": "{}"}


def markdown(spec: TableSpec, table: pd.DataFrame, views: Views) -> str:
    """The table under both conventions and its means in all views; controls in italics at the end."""
    lines = [f"# {spec.title}", ""]
    if spec.paper:
        lines += [f"After {spec.paper}.", ""]
    for convention in CONVENTIONS:
        frame = with_unbuilt(spec, under(table, convention))
        lines += [
            f"## {convention.capitalize()} convention",
            "",
            rule_text(*frame.loc[0, ["rule", "spread_over"]]),
            "",
        ]
        lines += _table(scores_grid(spec, frame, views))
    lines += _notes(
        [
            about_cells(spec, views),
            *about_zeros(spec, views),
            *about_controls(spec, table),
            *about_splits(spec),
            *about_training(spec),
            *why_unbuilt(spec),
        ]
    )
    lines += [f"## {views_title(views)}", "", _escape(rule_change(views)), ""]
    for column in mean_columns(spec):
        lines += _table(views_grid(spec, table, views, column))
    lines += _notes([*about_never_found(spec, views), *about_few_cases(views), *about_views(spec, views)])
    if optimistic(spec):
        lines += [f"## {OPTIMISM}", "", *_table(optimism_grid(spec, table, views)), *_notes([about_optimism(views)])]
    return "\n".join([*lines, *_notes(about_records(spec))])


def _table(grid: Grid) -> list[str]:
    align = ["---", *["---:"] * (len(grid.head) - 1)]
    body = [[MARKUP[mark].format(_escape(text)) for text, mark in row] for row in grid.rows]
    return [*("| " + " | ".join(cells) + " |" for cells in ([_escape(text) for text in grid.head], align, *body)), ""]


def _notes(notes: list[str]) -> list[str]:
    return [line for note in notes for line in (_escape(note), "")]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
