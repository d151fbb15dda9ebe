"""One case as GuidedNet's Figure 4 shows it: truth and methods, three slices and a 3D view each."""

import logging
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semiseg.base.errors import UserError
from semiseg.params.table_spec import TableSpec
from semiseg.report.figures.panels import trained
from semiseg.report.figures.saving import FILE_STYLE
from semiseg.report.figures.sheet import Sheet
from semiseg.report.figures.surfaces import Camera, aim, render
from semiseg.report.pictures import (
    PLANES,
    Scan,
    Scene,
    add_directions,
    best_slices,
    organ_colours,
    plot_slice,
    surroundings,
)
from semiseg.report.sources import Shown, read_dice, read_shown_case

logger = logging.getLogger(__name__)

SURFACE = "3D, from front left"
PIXELS_3D = 260  # longer side of a 3D view
LEGEND = (
    "Thin white lines are the truth, coloured ones the method (first seed). Dice: mean over this case's organs, raw"
    " grid. The patient's right (R) is on the left."
)


def draw_case(spec: TableSpec, case: str) -> Figure:
    """The figure of one test case, from the first run of each method; controls are left out.

    A method without a prediction here is left out with a note. Raises UserError when
    nothing can be drawn, or a prediction is damaged.
    """
    runs = {name: spec.runs[name][:1] for name in trained(spec)}
    first = spec.model_copy(update={"runs": runs})
    dice = read_dice(first)
    shown = read_shown_case(first, dice[dice["case"] == case])
    if shown is None or not shown.predictions:
        raise UserError(
            f"case {case} of table {spec.table} cannot be drawn: the prepared scan, its scores or all predictions of"
            " it are not on this machine; bring data/prepared and results/runs from where they were made, or predict"
            f" again with `snakemake --forcerun predict -- results/{spec.table}.csv`"
        )
    notes = [LEGEND]
    if missing := [spec.label(name) for name in runs if name not in shown.predictions]:
        notes.append(f"Left out, as their prediction of this case is not on this machine: {', '.join(missing)}.")
        logger.info(notes[-1])
    with matplotlib.rc_context(FILE_STYLE):
        return _draw(spec, shown, [name for name in runs if name in shown.predictions], notes)


def _draw(spec: TableSpec, shown: Shown, methods: Sequence[str], notes: Sequence[str]) -> Figure:
    organs = {organ.id: organ.abbreviation for organ in spec.organs}
    whole = {name: _only(shown.predictions[name], organs) for name in methods}
    truth = _only(shown.truth, organs)
    box = surroundings([truth, *whole.values()])
    predictions = {name: scan.inside(box) for name, scan in whole.items()}
    image, truth = shown.image.inside(box), truth.inside(box)
    scene = Scene(image, truth, organs, best_slices(truth, list(organs)))
    camera = aim([truth, *predictions.values()], PIXELS_3D)
    views = {plane: image.size_mm(plane) for plane in PLANES} | {SURFACE: camera.size_mm}
    sheet = Sheet(views, 1 + len(methods), len(organs), notes)
    figure = sheet.begin(spec.title, f"Case {shown.case}", _legend(spec))
    _add_views(sheet.add_row(figure, 0, "Truth", ""), scene, None, camera)
    for row, name in enumerate(methods, start=1):
        dice = f"Dice {shown.dice[name]:.1f} %" if name in shown.dice else "not scored"
        panels = sheet.add_row(figure, row, spec.label(name), dice)
        _add_views(panels, scene, predictions[name], camera)
    return figure


def _only(labels: Scan, organs: Mapping[int, str]) -> Scan:
    """The label map with the table's organs alone."""
    return Scan(np.where(np.isin(labels.array, list(organs)), labels.array, 0), labels.spacing)


def _legend(spec: TableSpec) -> list[tuple[str, str]]:
    labels = [
        organ.abbreviation if organ.name == organ.abbreviation else f"{organ.abbreviation} {organ.name}"
        for organ in spec.organs
    ]
    return list(zip(labels, organ_colours(len(labels)), strict=True))


def _add_views(panels: Mapping[str, Axes], scene: Scene, predicted: Scan | None, camera: Camera) -> None:
    for plane in PLANES:
        plot_slice(panels[plane], scene, plane, predicted, width=0.9)
        add_directions(panels[plane], plane, size=6)
    colours = dict(zip(scene.organs, organ_colours(len(scene.organs)), strict=True))
    width, height = camera.size_mm
    surface = render(predicted or scene.truth, colours, camera)
    panels[SURFACE].imshow(surface, extent=(0, width, height, 0), interpolation="bilinear")
    panels[SURFACE].axis("off")
