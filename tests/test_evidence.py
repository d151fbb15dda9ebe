"""The page on what was really trained: its table is the committed one, whose lineage names the committed files."""

import json

from support import ROOT

from semiseg.base.files import sha256

PAGE = ROOT / "docs" / "evidence.md"
TABLE = ROOT / "results" / "openkbp_imbalance.csv"
RECORD = json.loads((ROOT / "results" / "openkbp_imbalance.csv.lineage.json").read_text(encoding="utf-8"))


def first_table(text: str) -> list[str]:
    """The lines of the first table of scores in a text."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| Method"))
    return lines[start : lines.index("", start)]


def test_the_table_of_the_page_is_the_committed_one() -> None:
    committed = first_table(TABLE.with_suffix(".md").read_text(encoding="utf-8"))
    assert first_table(PAGE.read_text(encoding="utf-8")) == committed
    assert len(committed) == 2 + len(RECORD["params"]["rows"]), "no row is left out"


def test_the_committed_files_are_those_of_the_committed_lineage() -> None:
    recorded = {each["path"]: each["sha256"] for each in RECORD["outputs"]}
    page = TABLE.with_suffix(".html").relative_to(ROOT).as_posix()
    assert recorded.pop(page), "the page itself is too large for git"
    assert {file: sha256(ROOT / file) for file in recorded} == recorded
