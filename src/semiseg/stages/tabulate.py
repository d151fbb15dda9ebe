"""Rule ``table``: a table as CSV, with three views, values per case, cost, Markdown, LaTeX and a page."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.base.errors import UserError
from semiseg.base.files import atomic, write_json, write_text
from semiseg.base.metric_names import METRICS
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.report.cells import read_rows, unbuilt, under
from semiseg.scoring.conventions import CONVENTIONS, SUFFIXES

logger = logging.getLogger(__name__)


def tabulate(
    content: Mapping[str, Any], rows: Sequence[Path], out: Path, record: Callable[[], str] | None = None
) -> None:
    """Write ``out`` (published convention) and its other forms beside it (``paths.FORMS``).

    content: a ``TableSpec`` as JSON. record: the id of the job's lineage record, asked for when all files but the page
    are written; None where no job writes one. Each file is written completely or not at all. A complete table deletes
    the ``.partial`` files that an earlier call with failed rows has left. Raises UserError for a row that is missing or
    damaged, or when there is no row.
    """
    spec = read_spec(TableSpec, content, "the table's specification")
    if not rows:
        reasons = "; ".join(f"{method}: {reason}" for method, reason in unbuilt(spec).items())
        raise UserError(
            f"table {spec.table} has no finished row, so {out} is not written: build a row first"
            + (f" ({reasons})" if reasons else "")
        )
    table = read_rows(rows)
    # Statistics and drawing are slow to load, so the rows are read first: an error in one of them is shown at once.
    from semiseg.report.cost import cost_as_csv, read_cost
    from semiseg.report.latex import latex
    from semiseg.report.markdown import markdown
    from semiseg.report.origin import origin_of
    from semiseg.report.page import write_page
    from semiseg.report.views import as_csv, build_views, read_scores
    from semiseg.scoring import case_table

    scores = read_scores(spec)
    views, cost = build_views(spec, table, scores), read_cost(spec)
    for convention in CONVENTIONS:
        with atomic(out.with_suffix(SUFFIXES[convention])) as temporary:
            under(table, convention).to_csv(temporary, index=False, float_format="%.2f")
    write_json(out.with_suffix(".metrics.json"), _means(under(table, "published")))
    write_text(out.with_suffix(".views.csv"), as_csv(views))
    write_text(out.with_suffix(case_table.SUFFIX), case_table.as_csv(scores, spec.seeds, spec.metrics))
    write_text(out.with_suffix(".cost.csv"), cost_as_csv(cost))
    write_text(out.with_suffix(".md"), markdown(spec, table, views))
    write_text(out.with_suffix(".tex"), latex(spec, table, views))
    page = out.with_suffix(".html")
    write_page(spec, table, views, cost, page, origin_of(record()) if record else None)
    for stale in out.parent.glob(f"{spec.table}.partial.*") if not spec.failed else ():
        stale.unlink()
    logger.info(f"{out}: {len(rows)} rows; open {page}")


def _means(table: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    """The means of each row, which DVC compares between versions. An undefined mean is null."""
    columns = [name for name in METRICS.values() if name in table]
    rows = table.set_index("method")[columns].astype(object)
    return {str(method): dict(row) for method, row in rows.where(rows.notna(), None).iterrows()}
