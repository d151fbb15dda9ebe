"""All but trained methods starts at once: it does not load torch."""

import os
import subprocess
import sys

import pytest
from support import finished_project
from support.project_folder import write_params

LIGHT = [
    "semiseg.graph.plan",
    "semiseg.describe.cost",
    "semiseg.cli.main",
    "semiseg.stages.train_control",
    "semiseg.stages.predict_control",
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


BUILD = """
import sys
from pathlib import Path
from semiseg.cli.main import main
from support import finished_project
for job in finished_project.graph().chain(finished_project.TABLE):
    assert main(finished_project.arguments(job)) == 0, job.main
    print(job.rule, "torch" in sys.modules)
"""


def test_no_job_of_a_table_of_controls_loads_torch(tmp_path):
    """One process does one job after the other, and tells of each rule whether torch is loaded after it."""
    params = finished_project.params()
    params["tables"]["tiny"] |= {"rows": ["control_perfect", "control_empty"], "seeds": [1]}
    write_params(tmp_path, {**params, "methods": {}})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    lines = dict(line.split() for line in done.stdout.splitlines())
    assert lines == dict.fromkeys(["raw", "prepare", "split", "train", "predict", "evaluate", "row", "table"], "False")
