"""Benchmarks run in their smallest form, and print one form of table.

``planning`` and ``audit_quick`` are left out: even their smallest form builds a project and starts many processes.
"""

import importlib
import sys
from pathlib import Path

import pytest
import torch
from support import ROOT

FOLDER = ROOT / "benchmarks"
LONG = {"planning", "audit_quick"}


@pytest.fixture
def load(monkeypatch):
    """Import a script of the folder as it imports its neighbours."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before, threads = set(sys.modules), torch.get_num_threads()
    yield importlib.import_module
    torch.set_num_threads(threads)
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == FOLDER:
            del sys.modules[name]


def offering() -> list[str]:
    """Scripts that offer rows."""
    return [path.stem for path in sorted(FOLDER.glob("*.py")) if "\ndef rows(tiny" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", [name for name in offering() if name not in LONG])
def test_a_script_runs_in_its_smallest_form(load, name, capsys, monkeypatch):
    script, measuring = load(name), load("measuring")
    monkeypatch.setattr(sys, "argv", [name, "--tiny"])
    measuring.main(script.rows)
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert rows and head == measuring.HEAD
    assert {row.count("|") for row in (head, line, *rows)} == {8}


def test_all_scripts_of_the_folder_are_found(load):
    found = {path.stem for path in load("all").scripts()}
    assert found >= {*offering(), *LONG} and not found & {"all", "measuring", "whole_project", "kills"}


def test_a_peer_that_is_not_installed_is_a_row_that_says_so(load, capsys, monkeypatch):
    script, measuring = load("crops_vs_libraries"), load("measuring")
    monkeypatch.setattr(script, "is_installed", lambda module: False)
    measuring.print_rows(script.rows(tiny=True))
    peers = [line.split(" | ")[2] for line in capsys.readouterr().out.splitlines()[2:]]
    assert peers == ["not installed torchio's patch sampler", "not installed nnU-Net's blosc2 store"]


def test_a_row_states_both_ratios(load, capsys):
    measuring = load("measuring")
    measuring.print_rows([measuring.Row("crop: ms", 2.0, 9.0, "gzip", 1.6, "copy", "at most 2x the floor")])
    assert capsys.readouterr().out.splitlines()[2] == (
        "| crop: ms | 2 | 9 gzip | 4.50 | 1.6 copy | 1.25 | at most 2x the floor |"
    )


def test_the_table_of_a_page_is_replaced_and_a_failed_script_is_a_row(load, tmp_path, monkeypatch, capsys):
    everything = load("all")
    good, bad, page = tmp_path / "good.py", tmp_path / "bad.py", tmp_path / "page.md"
    good.write_text(f"print({everything.HEAD!r}, '| --- |', '| what | 1 | 2 b | 2.00 | | | |', sep='\\n')")
    bad.write_text("raise SystemExit('crops differ')")
    page.write_text(f"before\n\n{everything.BEGIN}\n\nold\n\n{everything.END}\n\nafter\n")
    monkeypatch.setattr(sys, "argv", ["all", str(good), str(bad), "--page", str(page)])
    assert everything.main() == 1
    table = [everything.HEAD, "| --- " * 7 + "|", "| what | 1 | 2 b | 2.00 | | | |"]
    table.append("| bad.py | failed: crops differ | | | | | |")
    assert capsys.readouterr().out.splitlines() == table
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\n\nafter\n") and "old" not in text
    assert "\n".join(table) in text and " cores (" in text


def test_a_page_without_a_place_for_the_table_stays_as_it_is(load, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n")
    with pytest.raises(SystemExit, match="has no place for the table"):
        load("all").write_page(page, [])
    assert page.read_text() == "text\n"
