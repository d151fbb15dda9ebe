"""Rule ``table``: the rows of a table as CSV under both conventions, three views, cost, Markdown, LaTeX and a page."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.base.errors import UserError
from semiseg.base.files import atomic, write_json, write_text
from semiseg.report.cells import read_rows, unbuilt, under
from semiseg.scoring.conventions import METRICS

logger = logging.getLogger(__name__)


def tabulate(spec: Mapping[str, Any], rows: Sequence[Path], out: Path) -> None:
    """Write ``out`` (published convention) and its other forms beside it (``paths.FORMS``).

    Each is whole or not there; a whole table removes what an earlier call with failed rows left as .partial. Raises
    UserError for a row that is missing or damaged, or when there is none.
    """
    if not rows:
        reasons = "; ".join(f"{method}: {reason}" for method, reason in unbuilt(spec).items())
        raise UserError(
            f"table {spec['table']} has no finished row, so {out} is not written: build a row first"
            + (f" ({reasons})" if reasons else "")
        )
    table = read_rows(rows)
    # statistics and drawing are slow to load: only after the rows have been read, so that a bad row is told at once
    from semiseg.report.cost import cost_as_csv, read_cost
    from semiseg.report.latex import latex
    from semiseg.report.markdown import markdown
    from semiseg.report.page import write_page
    from semiseg.report.views import as_csv, build_views

    views, cost = build_views(spec, table), read_cost(spec)
    for convention, path in (("published", out), ("sound", out.with_suffix(".sound.csv"))):
        with atomic(path) as temporary:
            under(table, convention).to_csv(temporary, index=False, float_format="%.2f")
    write_json(out.with_suffix(".metrics.json"), _means(under(table, "published")))
    write_text(out.with_suffix(".views.csv"), as_csv(views))
    write_text(out.with_suffix(".cost.csv"), cost_as_csv(cost))
    write_text(out.with_suffix(".md"), markdown(spec, table, views))
    write_text(out.with_suffix(".tex"), latex(spec, table, views))
    page = out.with_suffix(".html")
    write_page(spec, table, views, cost, page)
    for stale in out.parent.glob(f"{spec['table']}.partial.*") if not spec["failed"] else ():
        stale.unlink()
    logger.info(f"{out}: {len(rows)} rows; open {page}")


def _means(table: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    """Per row its means, as DVC compares them between versions; an undefined one is null."""
    columns = [name for name in METRICS.values() if name in table]
    rows = table.set_index("method")[columns].astype(object)
    return {str(method): dict(row) for method, row in rows.where(rows.notna(), None).iterrows()}
