"""All findings, and their two forms: a page on the terminal and docs/published-numbers.md."""

from collections.abc import Iterator, Sequence

from semiseg.base.terminal import Page, columns, heading
from semiseg.papers.check import claims, jaccard, means, repeats, sanity
from semiseg.papers.check.prints import read
from semiseg.papers.check.section import Line, Section

CHECKS = (
    sanity.contents,
    means.check,
    repeats.check,
    repeats.twins,
    jaccard.check,
    claims.values,
    claims.orders,
    sanity.distances,
    sanity.sizes,
    sanity.flags,
)
INTRODUCTION = """# The papers' numbers, compared with themselves

Every number of the papers' result tables is in `src/semiseg/published/<paper>.csv`. This page lists the results of
arithmetic checks of these numbers. `semiseg published check --write docs/published-numbers.md` writes the page, and a
test fails when it is out of date. Each line below is about printed numbers that do not agree. The papers do not show
which of them is right, or why. [claims.md](claims.md) asks how probable it is that the order of two rows is chance.

`guidednet`: Zhao et al., ACM MM 2024. `dvcl`: Zhao et al., ICCV 2025, of which only the supplement was read. `skcdf`:
Zhang et al., CVPR 2025. `plbopt`: Ji et al., the manuscript. `crln`: Wang et al., Medical Image Analysis 2025.
"""
SPECIAL = "\\`*_|<>"


def sections(papers: Sequence[str]) -> list[Section]:
    """The findings in these papers, kind by kind. Raises UserError when a paper's file is not in order."""
    numbers = [one for paper in sorted(set(papers)) for one in read(paper)]
    return [check(numbers) for check in CHECKS]


def terminal_page(found: Sequence[Section]) -> Page:
    """Blocks for the terminal."""
    page: Page = []
    for section in found:
        page += [heading(section.title), section.summary, *section.legend]
        if section.lines:
            page.append(columns(section.heads, section.lines, section.spare))
        page.append("")
    return page


def markdown(found: Sequence[Section], introduction: str = INTRODUCTION) -> str:
    """The page as Markdown."""
    return introduction + "".join(line + "\n" for section in found for line in _section(section))


def _section(section: Section) -> Iterator[str]:
    yield from ("", f"## {_plain(section.title)}", "", _plain(section.rule), "", f"**{_plain(section.summary)}**")
    if section.legend:
        yield from ("", *(f"- {_plain(line)}" for line in section.legend))
    if section.lines:
        yield from ("", _row(section.heads), _row(("---",) * len(section.heads)))
        yield from (_row(tuple(map(_plain, line))) for line in section.lines)


def _row(cells: Line) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text in which Markdown finds no marks."""
    return "".join(f"\\{sign}" if sign in SPECIAL else sign for sign in text)
