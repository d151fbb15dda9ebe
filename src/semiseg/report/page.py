"""The page of a table: everything a colleague needs to judge it, in one file that works offline and prints."""

import base64
from collections.abc import Collection, Mapping
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
from semiseg.report.cells import heading, lines_of, methods_in_order, ranks, shown, under, with_spread
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
from semiseg.report.colours import ABOVE, BELOW, BEST, WORST
from semiseg.report.grids import optimism_grid
from semiseg.report.lineage import lineage_of_rows
from semiseg.report.notes import (
    OPTIMISM,
    about_optimism,
    about_splits,
    about_training,
    about_views,
    rule_change,
    views_title,
    why_unbuilt,
)
from semiseg.report.pictures import best_slices, draw_slices, organ_colours, surroundings
from semiseg.report.score_tables import blend, score_tables
from semiseg.report.sources import read_dice, read_histories, read_shown_case
from semiseg.report.texts import describe_making
from semiseg.report.view_tables import AXIS, view_tables
from semiseg.report.views import Views, optimistic
from semiseg.scoring.conventions import CONVENTIONS

TIED = 3  # best rows that the headline names where several are equal, before it counts the others


def write_page(spec: TableSpec, table: pd.DataFrame, views: Views, cost: pd.DataFrame, out: Path) -> None:
    """Write the page of a table. table: rows of both conventions; views: `build_views`'s; cost: `read_cost`'s.

    Run folders, split and prepared cases are read at the paths that the specification names; the page names what is
    missing there. Raises UserError when the split is missing.
    """
    every = choose_looks({method: spec.label(method) for method in methods_in_order(spec)})
    look = {method: style for method, style in every.items() if method in set(table["method"])}
    dice = read_dice(spec)
    content = {
        "spec": spec,
        "name": out.stem,
        "making": describe_making(spec, read_json(spec.split)),
        "leaks": about_splits(spec),
        "about_training": about_training(spec),
        "headline": _headline(table, {row for row, one in spec.checkpoints.items() if one.rule == "best_test"}),
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
    colours = {"worst": WORST, "best": BEST, "below": BELOW, "above": ABOVE}
    environment.globals |= {"axis_width": AXIS, **{name: blend(it, it, 0) for name, it in colours.items()}}
    write_text(out, environment.get_template("page.html.j2").render(content))


def _headline(table: pd.DataFrame, chosen: Collection[str] = ()) -> str:
    """The best mean under each convention, in one sentence. chosen: rows by a checkpoint chosen on the test list."""
    parts = []
    for convention in CONVENTIONS:
        frame = under(table, convention)
        column = next(name for name in METRICS.values() if name in frame)
        best = [row for row, rank in enumerate(ranks(frame, column)) if rank == "best"]
        if best:
            mark = " (chosen on the test list)"
            labels = [frame["label"][row] + (mark if frame["method"][row] in chosen else "") for row in best]
            more = f"{len(labels) - TIED} more rows"
            names = listed(labels if len(labels) <= TIED + 1 else [*labels[:TIED], more])
            parts.append(f"{names} {with_spread(frame, best[0], column)} ({convention})")
    return f"Best mean {heading(column, frame['unit'][0])}: {', '.join(parts)}" if parts else "No row but controls"


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
