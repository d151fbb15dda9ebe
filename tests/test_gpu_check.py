"""The script for a GPU runs, in its smallest form on a CPU: what it measures there means nothing."""

import sys

import pytest
import torch
from support import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu_check

    yield gpu_check
    for name in ("gpu_check", "measuring"):
        sys.modules.pop(name)


def test_a_part_has_rows_of_every_number_format(script, tmp_path):
    rows = script.trainings(script.Setting("cpu", True, str(tmp_path)), script.SUBJECTS["UA-MT"], "UA-MT")
    assert [row.what.partition(":")[0] for row in rows[::2]] == [
        *(f"UA-MT, {form}" for form in script.FORMATS),
        "UA-MT, fast, cases on the device",
    ]
    assert all(row.ours > 0 and row.peer > 0 for row in rows)


def test_a_window_slides_over_each_volume(script, tmp_path):
    setting = script.Setting("cpu", True, str(tmp_path))
    assert [len(script.windows(setting, name)) for name in script.VOLUMES] == [2, 2]


def test_without_a_gpu_nothing_is_measured_and_the_script_says_so(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    script.main()
    assert "| no CUDA device here, so nothing was measured |" in capsys.readouterr().out
