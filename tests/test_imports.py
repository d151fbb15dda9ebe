"""Measuring, tabulating and planning start at once: they do not load torch."""

import subprocess
import sys

import pytest

LIGHT = [
    "semiseg.graph.plan",
    "semiseg.cli.main",
    "semiseg.stages.evaluate",
    "semiseg.stages.row",
    "semiseg.stages.tabulate",
]


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_stay_light(module):
    check = f"import sys, {module}; print(*({{'torch', 'SimpleITK'}} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, encoding="utf-8", check=True
    ).stdout.split()
    assert loaded == []


def test_the_planner_loads_no_array_library_but_numpy():
    heavy = "{'pandas', 'scipy', 'h5py', 'nibabel'}"
    check = f"import sys, semiseg.graph.plan, semiseg.params.reading; print(*({heavy} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, encoding="utf-8", check=True
    ).stdout.split()
    assert loaded == []
