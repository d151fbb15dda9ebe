"""Snakemake's notes are completed for the jobs that are planned, and for no others."""

from pathlib import Path

import pytest
from support import finished_project

from semiseg.base.files import read_json
from semiseg.engine.snakemake_memory import SEEN, restore
from semiseg.stages.rules import RULES

ROW = "results/tiny/control_perfect.csv"


@pytest.fixture
def project(tmp_path_factory, monkeypatch):
    """A copy of the finished project, which Snakemake has never seen."""
    folder = finished_project.copy(tmp_path_factory)
    monkeypatch.chdir(folder)
    return folder


def restored(*targets: str) -> int:
    return restore(finished_project.graph(), dict.fromkeys(RULES, "semiseg"), targets)


def test_only_records_behind_the_target_are_read_and_each_once(project):
    graph = finished_project.graph()
    row, table = ({job.record for job in graph.chain(target)} for target in (ROW, finished_project.TABLE))
    assert restored(ROW) == len(row) < len(table)
    assert read_json(SEEN).keys() == row
    assert restored(finished_project.TABLE) == len(table) - len(row)
    assert (restored(ROW), restored(finished_project.TABLE)) == (0, 0)
    assert read_json(SEEN).keys() == table, "a call for less forgets nothing"


def test_a_record_that_is_gone_is_forgotten(project):
    restored(finished_project.TABLE)
    Path(f"{ROW}.lineage.json").unlink()
    restored(ROW)
    assert f"{ROW}.lineage.json" not in read_json(SEEN)


def test_for_a_target_that_the_graph_does_not_know_all_records_are_read(project):
    assert restored("results/other.txt") == len(finished_project.graph().chain(finished_project.TABLE))
