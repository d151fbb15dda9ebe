"""The page of a table: everything a colleague needs to judge it, in one file that works offline and prints."""

import base64
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from semiseg.files import read_json, write_text
from semiseg.report.cells import (
    CONVENTIONS,
    COUNTS,
    DATA,
    METRICS,
    heading,
    is_control,
    number,
    ranks,
    shares,
    spread,
    under,
    with_spread,
)
from semiseg.report.charts import (
    Look,
    choose_looks,
    draw_boxes,
    draw_terms,
    draw_totals,
    draw_validations,
    smoothing_window,
)
from semiseg.report.markup import printed_columns
from semiseg.report.pictures import best_slices, draw_slices, organ_colours, surroundings
from semiseg.report.sources import read_dice, read_histories, read_shown_case
from semiseg.report.words import making, rule_in_words

WORST, BEST = (255, 255, 255), (134, 187, 224)  # of a column; black text keeps a contrast above 9 : 1 on both


def write_page(spec: Mapping[str, Any], table: pd.DataFrame, out: Path) -> None:
    """Write the page of a table (``Plan.tabulation``'s specification, rows of both conventions).

    Run folders, split and prepared cases are read at the paths that the specification names. What is missing there is
    said on the page in words. Raises UserError when the split is missing.
    """
    look = choose_looks(dict(zip(table["method"], table["label"], strict=True)))
    dice = read_dice(spec)
    content = {
        "spec": spec,
        "name": out.stem,
        "making": making(spec, read_json(spec["split"])),
        "headline": _headline(table),
        "conventions": [_convention(spec, table, name) for name in CONVENTIONS],
        "look": look,
        "curves": _curves(spec, look),
        "boxes": _boxes(spec, dice, look),
        "pictures": _pictures(spec, dice, look),
    }
    loader = jinja2.FileSystemLoader(str(files("semiseg.report")))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals["scale"] = [f"#{bytes(WORST).hex()}", f"#{bytes(BEST).hex()}"]
    write_text(out, environment.get_template("page.html.j2").render(content))


def _headline(table: pd.DataFrame) -> str:
    """The best mean under each convention, in one sentence."""
    parts = []
    for convention in CONVENTIONS:
        frame = under(table, convention)
        column = next(name for name in METRICS.values() if name in frame)
        best = [row for row, rank in enumerate(ranks(frame, column)) if rank == "best"]
        if best:
            names = " and ".join(frame["label"][row] for row in best)
            parts.append(f"{names} {with_spread(frame, best[0], column)} ({convention})")
    return f"Best mean {heading(column, frame['unit'][0])}: {', '.join(parts)}" if parts else "No row but controls"


def _convention(spec: Mapping[str, Any], table: pd.DataFrame, name: str) -> dict[str, Any]:
    frame = under(table, name)
    unit = frame["unit"][0]
    columns = printed_columns(spec)
    means = [METRICS[metric] for metric in spec["metrics"]]
    organs = [column for column in columns if column not in means]
    cells = {column: _cells(frame, column) for column in columns}
    rows = [
        {
            "method": method,
            "label": frame["label"][row],
            "control": is_control(method),
            "counts": {key: int(frame[key][row]) for key in (*DATA, *COUNTS)},
            "means": [cells[column][row] for column in means],
            "organs": [cells[column][row] for column in organs],
        }
        for row, method in enumerate(frame["method"])
    ]
    return {
        "name": name,
        "rule": frame["rule"][0],
        "words": rule_in_words(frame["rule"][0]),
        "means": [heading(column, unit) for column in means],
        "organs": [organ for organ in spec["organs"] if organ["abbreviation"] in organs],
        "rows": rows,
    }


def _cells(frame: pd.DataFrame, column: str) -> list[dict[str, str]]:
    """Mean, spread, rank and background of each cell of a column."""
    places = zip(ranks(frame, column), shares(frame, column), strict=True)
    return [
        {
            "mean": number(frame[column][row]),
            "spread": spread(frame, row, column),
            "rank": rank,
            "background": _background(share),
        }
        for row, (rank, share) in enumerate(places)
    ]


def _background(share: float | None) -> str:
    if share is None:
        return "transparent"
    return "#" + bytes(round(low + share * (high - low)) for low, high in zip(WORST, BEST, strict=True)).hex()


def _curves(spec: Mapping[str, Any], look: Mapping[str, Look]) -> dict[str, Any]:
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


def _boxes(spec: Mapping[str, Any], dice: pd.DataFrame, look: Mapping[str, Look]) -> dict[str, Any]:
    organs = [organ["abbreviation"] for organ in spec["organs"]]
    trained = {name: style for name, style in look.items() if not is_control(name)}
    without = [style.label for name, style in trained.items() if name not in set(dice["method"])]
    notes = [f"{label} has no box: its runs have no score table." for label in without]
    drawn = draw_boxes(dice, organs, trained) if len(without) < len(trained) else []
    return {"drawings": [Markup(drawing) for drawing in drawn], "cases": dice["case"].nunique(), "notes": notes}


def _pictures(spec: Mapping[str, Any], dice: pd.DataFrame, look: Mapping[str, Look]) -> dict[str, Any]:
    shown = read_shown_case(spec, dice)
    if shown is None:
        return {"panels": [], "notes": ["No picture: the scores or the prepared cases are not on this machine."]}
    organs = {organ["id"]: organ["abbreviation"] for organ in spec["organs"]}
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
    legend = zip(spec["organs"], organ_colours(len(organs)), strict=True)
    return {"case": shown.case, "panels": panels, "legend": list(legend), "notes": notes}


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
