"""What each rule's job loads: a library that takes long to load is loaded by the jobs that use it and by no other."""

import json
import os
import subprocess
import sys

import pytest
from support import finished_project
from support.project_folder import write_params

SLOW = ("torch", "monai", "scipy", "pandas", "matplotlib", "SimpleITK", "nibabel", "rich", "skimage")
IMAGES = {"nibabel", "scipy"}  # scans and label maps are read and resampled
# What the job of a rule may load of these; (control) marks the job of a row that is not trained.
MAY_LOAD = {
    "raw": IMAGES,  # these scans are drawn
    "prepare": IMAGES,
    "split": set(),
    "train": {"torch"},
    "train (control)": set(),
    "predict": {"torch", *IMAGES},
    "predict (control)": IMAGES,
    "evaluate": {"pandas", *IMAGES},
    "row": {"pandas"},
    "table": {"pandas", "scipy", "matplotlib", "skimage", "nibabel"},
    "site": {"pandas", "scipy", "matplotlib", "skimage", "nibabel"},
}
# Each job in a process of its own, forked from one that has only planned.
BUILD = """
import json, os, sys
from semiseg.base.controls import is_control
from semiseg.cli.main import main
from support import finished_project
jobs = finished_project.graph().chain(finished_project.TABLE)
assert all(job.code for job in jobs)  # read once, for all processes
for job in (*jobs, "results/site/index.html"):
    job = finished_project.graph().maker(job) if isinstance(job, str) else job  # planned when the table is there
    if os.fork() == 0:
        assert main(finished_project.arguments(job)) == 0, job.main
        loaded = [name for name in sys.argv[1:] if name in sys.modules]
        control = job.rule in ("train", "predict") and is_control(job.spec["method"])
        print(json.dumps([job.rule + " (control)" * control, loaded]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, job.main
"""


def printed(script: str, *arguments: str, **options: object) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, encoding="utf-8", **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_jobs_of_a_table_load_what_they_use_and_no_more(tmp_path):
    params = finished_project.params()
    params["tables"]["tiny"]["seeds"] = [1]
    write_params(tmp_path, params)
    loaded = {}
    for line in printed(BUILD, *SLOW, cwd=tmp_path).splitlines():
        rule, names = json.loads(line)
        loaded[rule] = loaded.get(rule, set()) | set(names)
    assert loaded.keys() == MAY_LOAD.keys()
    assert {rule: names - MAY_LOAD[rule] for rule, names in loaded.items()} == {rule: set() for rule in MAY_LOAD}


@pytest.mark.parametrize(
    "modules", ["semiseg.cli.main", "semiseg.graph.plan, semiseg.params.reading, semiseg.engine.snakemake_memory"]
)
def test_the_command_line_and_the_planner_load_none_of_them(modules):
    more = ("h5py", "snakemake")
    assert (
        json.loads(
            printed(
                f"import json, sys, {modules}; print(json.dumps([n for n in sys.argv[1:] if n in sys.modules]))",
                *SLOW,
                *more,
            )
        )
        == []
    )


def test_showing_a_table_and_checking_it_loads_no_torch(project):
    script = (
        "import json, sys; from semiseg.cli.main import main; main(['show', 'results/tiny.csv']);"
        "print(json.dumps([name for name in ('torch', 'monai', 'matplotlib') if name in sys.modules]))"
    )
    assert json.loads(printed(script, cwd=project).splitlines()[-1]) == []
