"""The page on what was really trained: its tables are the committed ones, whose lineages name the committed files."""

import json

import pytest
from support import ROOT

from semiseg.base.files import sha256

PAGE = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
TABLES = ("openkbp_imbalance", "la_small")


def first_table(text: str) -> list[str]:
    """The lines of the first table of scores in a text."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| Method"))
    return lines[start : lines.index("", start)]


def section(name: str) -> str:
    """The part of the page on a table."""
    return PAGE.split(f"## `{name}`: ", 1)[1].split("\n## ", 1)[0]


def record(name: str) -> dict[str, object]:
    return json.loads((ROOT / "results" / f"{name}.csv.lineage.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TABLES)
def test_the_table_of_the_page_is_the_committed_one(name: str) -> None:
    committed = first_table((ROOT / "results" / f"{name}.md").read_text(encoding="utf-8"))
    assert first_table(section(name)) == committed
    assert len(committed) == 2 + len(record(name)["params"]["rows"]), "no row is left out"


@pytest.mark.parametrize("name", TABLES)
def test_the_committed_files_are_those_of_the_committed_lineage(name: str) -> None:
    recorded = {each["path"]: each["sha256"] for each in record(name)["outputs"]}
    assert recorded.pop(f"results/{name}.html"), "the page itself is too large for git"
    assert {file: sha256(ROOT / file) for file in recorded} == recorded
