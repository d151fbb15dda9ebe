"""Rule ``figure``: draws one figure of a table as PNG, SVG or PDF."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.graph.figures import CASE, FORMATS, check_figure
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.paths import SECONDS

logger = logging.getLogger(__name__)


def figure(content: Mapping[str, Any], rows: Sequence[Path], out: Path) -> None:
    """Draw the figure that the name of ``out`` stands for: one of ``CHARTS`` or ``case_<case>``.

    content: a ``TableSpec`` as JSON. rows: files of the table's rows, which bars need. Raises UserError for an unknown
    figure, case or format, for bars of a table without variants, and where the files to draw from are missing.
    """
    if out.suffix not in FORMATS:
        raise UserError(f"{out} has no known format: end its name in {', '.join(FORMATS)}")
    spec = read_spec(TableSpec, content, "the table's specification")
    check_figure(spec, out.stem)
    from semiseg.report.cells import read_rows
    from semiseg.report.figures.bars import draw_bars
    from semiseg.report.figures.case import draw_case
    from semiseg.report.figures.panels import draw_boxes, draw_curves
    from semiseg.report.figures.saving import save
    from semiseg.report.figures.seconds import draw_seconds

    if out.stem == "bars":
        drawn = draw_bars(spec, read_rows(rows))
    elif out.stem == "seconds":
        drawn = draw_seconds(spec, Path(SECONDS.format(table=spec.table)))
    elif out.stem == "boxes":
        drawn = draw_boxes(spec)
    elif out.stem == "curves":
        drawn = draw_curves(spec)
    else:
        drawn = draw_case(spec, out.stem.removeprefix(CASE))
    save(drawn, out)
    logger.info(f"{out}: {drawn.get_figwidth():.1f} x {drawn.get_figheight():.1f} inches")
