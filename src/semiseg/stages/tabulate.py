"""Rule ``table``: the rows of a table as CSV under both conventions, Markdown, LaTeX and a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semiseg.files import atomic, write_text
from semiseg.progress import say
from semiseg.report.cells import read_rows, under
from semiseg.report.markup import latex, markdown


def tabulate(spec: Mapping[str, Any], rows: Sequence[Path], out: Path) -> None:
    """Write ``out`` (published convention) and beside it .sound.csv, .md, .tex, .html; each is whole or not there.

    Raises UserError for a row that is missing or damaged.
    """
    # the page draws with matplotlib: loaded after the rows have been read, so that a bad row is told at once
    table = read_rows(rows)
    for convention, path in (("published", out), ("sound", out.with_suffix(".sound.csv"))):
        with atomic(path) as temporary:
            under(table, convention).to_csv(temporary, index=False, float_format="%.2f")
    write_text(out.with_suffix(".md"), markdown(spec, table))
    write_text(out.with_suffix(".tex"), latex(spec, table))
    from semiseg.report.page import write_page

    page = out.with_suffix(".html")
    write_page(spec, table, page)
    say(f"{out}: {len(rows)} rows; open {page}")
