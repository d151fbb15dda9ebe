"""The page of a table: everything a colleague needs to judge it, in one file that works offline and prints."""

import base64
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from semiseg.base.controls import is_control
from semiseg.base.files import read_json, write_text
from semiseg.base.metric_names import METRICS
from semiseg.base.texts import listed
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import heading, lines_of, methods_in_order, number, shown
from semiseg.report.charts import (
    Look,
    are_wide,
    choose_looks,
    draw_boxes,
    draw_terms,
    draw_totals,
    draw_validations,
    smoothing_window,
)
from semiseg.report.grids import has_missed, optimism_grid
from semiseg.report.groups import BEST, WORDS, best_and_tied
from semiseg.report.lineage import lineage_of_rows
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
from semiseg.report.origin import Origin
from semiseg.report.pictures import best_slices, draw_slices, organ_colours, surroundings
from semiseg.report.score_tables import score_tables
from semiseg.report.sources import read_dice, read_histories, read_shown_case
from semiseg.report.texts import describe_making
from semiseg.report.view_tables import AXIS, view_tables
from semiseg.report.views import Views, of_column, optimistic
from semiseg.scoring.conventions import CONVENTIONS

NAMED = 3  # rows that the headline names before it counts the others
CHOSEN = " (chosen on the test list)"


def write_page(
    spec: TableSpec, table: pd.DataFrame, views: Views, cost: pd.DataFrame, out: Path, origin: Origin | None = None
) -> None:
    """Write the page of a table. table: rows of both conventions; views: `build_views`'s; cost: `read_cost`'s.
    origin: what the job that writes the page is known by.

    Run folders, split and prepared cases are read at the paths that the specification names; the page names what is
    missing there. Raises UserError when the split is missing.
    """
    every = choose_looks({method: spec.label(method) for method in methods_in_order(spec)})
    look = {method: style for method, style in every.items() if method in set(table["method"])}
    dice = read_dice(spec)
    content = {
        "spec": spec,
        "name": out.stem,
        "origin": origin,
        "making": describe_making(spec, read_json(spec.split)),
        "about_training": about_training(spec),
        "about_zeros": about_zeros(spec, views),
        "has_missed": has_missed(spec, views),
        "about_controls": about_controls(spec, table),
        "warnings": [*about_splits(spec), *about_never_found(spec, views), *about_few_cases(views)],
        "headline": _headline(table, views, {row for row, one in spec.checkpoints.items() if one.rule == "best_test"}),
        "rule_change": rule_change(views),
        "about_views": about_views(spec, views),
        "views_title": views_title(views),
        "unbuilt": why_unbuilt(spec),
        "views": view_tables(spec, table, views),
        "optimism": optimism_grid(spec, table, views) if optimistic(spec) else None,
        "optimism_title": OPTIMISM,
        "about_optimism": about_optimism(views),
        "scores": score_tables(spec, table, views),
        "cost": _cost(cost),
        "every": every,
        "look": look,
        "lineage": lineage_of_rows(spec, out),
        "curves": _curves(spec, look),
        "boxes": _boxes(spec, dice, look),
        "pictures": _pictures(spec, dice, look),
    }
    loader = jinja2.FileSystemLoader(str(files("semiseg.report")))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"axis_width": AXIS, "words": WORDS}
    write_text(out, environment.get_template("page.html.j2").render(content))


def _headline(table: pd.DataFrame, views: Views, chosen: Collection[str] = ()) -> str:
    """The best mean under each convention and the rows that cannot be told from it, in one sentence.

    chosen: rows by a checkpoint chosen on the test list.
    """
    column = next(name for name in METRICS.values() if name in table)
    lines = of_column(views, column)
    rows = lines.set_index("method")
    labels = {name: label + (CHOSEN if name in chosen else "") for name, label in rows["label"].items()}
    parts = []
    for convention in CONVENTIONS:
        best, tied = ([labels[name] for name in names] for names in best_and_tied(lines, convention))
        if best:
            most = number(rows.loc[rows[f"{convention}_group"] == BEST, convention].iloc[0])
            told = f", which cannot be told from {_few(tied)}" if tied else ""
            parts.append(f"{_few(best)} {most} ({convention}){told}")
    title = heading(column, table["unit"].iloc[0])
    if parts:
        return f"Best mean {title}: {'; '.join(parts)}"
    known = rows.loc[[not is_control(str(name)) for name in rows.index], list(CONVENTIONS)].notna().any(axis=None)
    return f"No best mean {title}: the rows cannot be told apart" if known else "No row but controls"


def _few(labels: Sequence[str]) -> str:
    """The first names of several, and how many more there are."""
    return listed(labels if len(labels) <= NAMED + 1 else [*labels[:NAMED], f"{len(labels) - NAMED} more rows"])


def _cost(cost: pd.DataFrame) -> list[dict[str, str]]:
    """Texts of the cost table; controls cost nothing and are left out."""
    trained = cost[~cost["method"].map(is_control)]
    return [
        {
            "method": line.method,
            "label": line.label,
            "millions": shown(line.parameters / 1e6, ".2f"),
            "seconds": shown(line.seconds_per_iteration, ".3f"),
            "waiting": shown(100 * line.waiting_share, ".1f"),
            "memory": shown(line.peak_memory_gib, ".2f"),
            "hours": shown(line.hours, ".2f"),
            "device": shown(line.device, "s"),
        }
        for line in lines_of(trained)
    ]


def _curves(spec: TableSpec, look: Mapping[str, Look]) -> dict[str, Any]:
    histories = {method: runs for method, runs in read_histories(spec).items() if method in look}
    notes = _without_curve([name for name in look if name not in histories], look)
    if not histories:
        return {"notes": notes}
    validation = draw_validations(histories, look)
    if validation is None:
        notes.append("No validation curve: this protocol keeps the last checkpoint and does not validate.")
    windows = sorted({smoothing_window(len(run)) for runs in histories.values() for run in runs})
    overview = [draw_totals(histories, look), *([validation] if validation else [])]
    return {
        "overview": [Markup(drawing) for drawing in overview],
        "terms": {method: Markup(drawing) for method, drawing in draw_terms(histories, look).items()},
        "window": " or ".join(map(str, windows)),
        "notes": notes,
    }


def _without_curve(methods: list[str], look: Mapping[str, Look]) -> list[str]:
    reasons = (
        ("controls are not trained", [look[name].label for name in methods if is_control(name)]),
        ("their runs have no history with steps", [look[name].label for name in methods if not is_control(name)]),
    )
    return [f"No learning curve for {', '.join(labels)}: {reason}." for reason, labels in reasons if labels]


def _boxes(spec: TableSpec, dice: pd.DataFrame, look: Mapping[str, Look]) -> dict[str, Any]:
    organs = spec.abbreviations
    trained = {name: style for name, style in look.items() if not is_control(name)}
    without = [style.label for name, style in trained.items() if name not in set(dice["method"])]
    notes = [f"{label} has no box: its runs have no score table." for label in without]
    drawn = draw_boxes(dice, organs, trained) if len(without) < len(trained) else []
    return {
        "drawings": [Markup(drawing) for drawing in drawn],
        "wide": are_wide(trained),
        "cases": dice["case"].nunique(),
        "notes": notes,
    }


def _pictures(spec: TableSpec, dice: pd.DataFrame, look: Mapping[str, Look]) -> dict[str, Any]:
    shown = read_shown_case(spec, dice)
    if shown is None:
        return {"panels": [], "notes": ["No picture: the scores or the prepared cases are not on this machine."]}
    organs = {organ.id: organ.abbreviation for organ in spec.organs}
    box = surroundings([shown.truth, *shown.predictions.values()])
    image, truth = shown.image.inside(box), shown.truth.inside(box)
    places = best_slices(truth, list(organs))
    panels = [{"label": "Truth", "png": _data_uri(draw_slices(image, truth, None, organs, places))}]
    notes = ["Controls are not drawn: one equals the truth, the other is empty."] if any(map(is_control, look)) else []
    for method, style in look.items():
        predicted = shown.predictions.get(method)
        if predicted is not None:
            picture = draw_slices(image, truth, predicted.inside(box), organs, places)
            panel = {"label": style.label, "colour": style.colour, "dice": f"{shown.dice[method]:.1f}"}
            panels.append({**panel, "png": _data_uri(picture)})
        elif not is_control(method):
            notes.append(f"{style.label} is not drawn: its prediction of this case is not on this machine.")
    legend = zip(spec.organs, organ_colours(len(organs)), strict=True)
    return {"case": shown.case, "panels": panels, "legend": list(legend), "notes": notes}


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
