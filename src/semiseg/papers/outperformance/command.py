"""``semiseg published claims``: how probable is it that the order of two printed rows is due to chance?"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from semiseg import catalogue
from semiseg.base.files import write_text
from semiseg.base.terminal import terminal
from semiseg.papers.check.page import terminal_page
from semiseg.papers.outperformance.markdown_page import claims_markdown
from semiseg.papers.outperformance.page import sections


def show_claims(papers: Sequence[str] = (), out: Path | None = None, console: Console | None = None) -> None:
    """Print the claims in these papers (none named: all), or write them to ``out`` as Markdown.

    Works in the current folder, whose tables measure correlations. Raises UserError when a paper is unknown, its file
    is not in order, or a table's values per case are not the recorded ones.
    """
    found = sections(papers or catalogue.entries("published"), Path())
    if out is not None:
        write_text(out, claims_markdown(found))
        return
    console = console or terminal()
    for block in terminal_page(found):
        console.print(block)
    console.print("The model behind these numbers: docs/claims.md")
