"""What the pages say about files, commands and messages is so."""

import re
from pathlib import Path

import pytest
from support import ROOT

from semiseg.cli.main import main

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config/README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
# Built or written by users, so absent in a clone.
MADE = ("src/semiseg/methods/", "src/semiseg/datasets/", "src/semiseg/splits/", "data/", "results/")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("http", "mailto"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_file_that_is_named_exists(page):
    named = re.findall(
        r"`((?:src|tests|workflow|profiles|docs|benchmarks)/[\w./-]+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith(MADE)] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z]+)[\w ]*:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    targets |= set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[0].split())
    assert set(re.findall(r"`?make ([a-z]+)`", page.read_text(encoding="utf-8"))) <= targets


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_verb_that_is_shown_exists(page, capsys):
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"`semiseg ([a-z][a-z-]+)", text)
    for block in re.findall(r"^```\n(.*?)^```", text, re.M | re.S):
        shown += re.findall(r"^(?:\S+ )*?semiseg ([a-z][a-z-]+)", block, re.M)
    for verb in sorted(set(shown)):
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0, verb
    capsys.readouterr()


def test_the_commonest_errors_are_quoted_as_the_code_raises_them():
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    table = page.partition("## The ten most common errors")[2].partition("\n## ")[0]
    quoted = [text for line in table.splitlines() if line.startswith("| `") for text in _quoted(line)]
    source = " ".join(_literals(path) for path in sorted((ROOT / "src/semiseg").rglob("*.py")))
    assert len(quoted) >= 10 and [text for text in quoted if text not in source] == []


def _quoted(line: str) -> list[str]:
    return re.findall(r"`([^`]+)`", line.split("|")[1])


def _literals(path: Path) -> str:
    """The text of a file with string literals that follow each other joined."""
    return re.sub(r"\"\s*f?\"", "", path.read_text(encoding="utf-8"))
