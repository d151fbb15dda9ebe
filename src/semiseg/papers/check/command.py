"""``semiseg published check``: do the papers' numbers agree with each other and with arithmetic?"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from semiseg import catalogue
from semiseg.base.files import write_text
from semiseg.base.terminal import terminal
from semiseg.papers.check.page import markdown, sections, terminal_page


def check(papers: Sequence[str] = (), out: Path | None = None, console: Console | None = None) -> None:
    """Print every disagreement in these papers (none named: all), or write them to ``out`` as Markdown.

    Raises UserError when a paper is unknown or its file is not in order; disagreements are findings, not errors.
    """
    found = sections(papers or catalogue.entries("published"))
    if out is not None:
        write_text(out, markdown(found))
        return
    console = console or terminal()
    for block in terminal_page(found):
        console.print(block)
