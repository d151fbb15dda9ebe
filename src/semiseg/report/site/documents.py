"""Texts of the project's docs folder as pages: evidence, checks of printed numbers, how to read a table, glossary."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

FOLDER = Path("docs")
NAMES = ("evidence", "claims", "published-numbers", "read-a-table", "glossary")
TITLES = {
    "evidence": "Evidence",
    "claims": "Claims",
    "published-numbers": "Published numbers",
    "read-a-table": "How to read a table",
    "glossary": "Glossary",
}


@dataclass(frozen=True)
class Document:
    """A text of the docs folder. file: its page, in the site's folder."""

    name: str
    title: str
    file: str
    content: Markup


def document_files() -> list[Path]:
    """The texts that are in this project."""
    return [path for path in (FOLDER / f"{name}.md" for name in NAMES) if path.is_file()]


def read_documents() -> list[Document]:
    """The texts that are in this project, with links among them; what they link to beside is named without a link."""
    here = [path.stem for path in document_files()]
    return [Document(name, TITLES[name], f"{name}.html", _html(name, here)) for name in here]


def _html(name: str, pages: Sequence[str]) -> Markup:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    _give_places(tokens)
    for token in tokens:
        if token.children is not None:
            token.children = list(_linked(token.children, pages))
    html: str = reader.renderer.render(tokens, reader.options, {})
    return Markup(_scrolling(html.replace("<th></th>", "<td></td>")))


def _give_places(tokens: Sequence[Token]) -> None:
    """Give each heading the id that GitHub gives it, so that links to a place of a text work on both.

    The id is the heading's text in lower case, without punctuation, with a hyphen for each space; one that is there
    already gets a number.
    """
    taken = Counter[str]()
    for token, inner in pairwise(tokens):
        if token.type == "heading_open":
            text = "".join(one.content for one in inner.children or () if one.type in ("text", "code_inline"))
            place = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            token.attrSet("id", f"{place}-{taken[place]}" if taken[place] else place)
            taken[place] += 1


def _scrolling(html: str) -> str:
    """Wide tables scroll by themselves, also by keyboard."""
    first, *others = html.split("<table>")
    region = '<div class="scroll" tabindex="0" role="region" aria-label="table {}"><table>'
    parts = (region.format(number) + part for number, part in enumerate(others, 1))
    return first + "".join(parts).replace("</table>", "</table></div>")


def _linked(tokens: Sequence[Token], pages: Sequence[str]) -> Iterator[Token]:
    """The tokens of a paragraph, without pictures. Of a link that leads nowhere in the site the text alone is left."""
    kept: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            target = str(token.attrGet("href"))
            name, _, place = target.partition("#")
            stem = Path(name).stem
            inside = not name or (name == f"{stem}.md" and stem in pages)
            kept.append(inside or target.startswith("https://"))
            if inside and name:
                token.attrSet("href", f"{stem}.html" + f"#{place}" * bool(place))
            if kept[-1]:
                yield token
        elif token.type == "link_close":
            if kept.pop():
                yield token
        elif token.type != "image":
            yield token
