"""The code that runs is the code that was planned and recorded."""

import os
import subprocess
import sys

import pytest
from support import finished_project, project_folder, warm
from support.snakemake_project import tiny_params

from semiseg.stages.rules import RULES

SPLIT = "data/splits/phantom_mri/tiny.json"


@pytest.fixture
def project(tmp_path):
    """A project folder with the real workflow; nothing is built in it."""
    return project_folder.new(tmp_path / "project", tiny_params())


def test_jobs_run_the_planners_package_whatever_stands_first_on_the_path(project, tmp_path):
    """Not the command of another environment, and no module that lies in the project's folder."""
    (tmp_path / "bin").mkdir()
    for name in ("semiseg", "python"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 9\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (project / "numpy.py").write_text("raise ImportError('the one of the project')\n")
    command = [sys.executable, "-P", "-m", "snakemake", "--cores", "1", SPLIT]
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert (project / SPLIT).exists()


def test_every_rule_hands_its_code_hash_to_the_job():
    rules = "".join(path.read_text() for path in (project_folder.ROOT / "workflow/rules").glob("*.smk"))
    assert rules.count("semiseg --log {log} ") == rules.count("--code {params.code}") == len(RULES)


@pytest.mark.parametrize("tool", [("snakemake", "-n", SPLIT), ("semiseg", "check-params")])
def test_an_installed_copy_beside_an_edited_source_is_refused(project, tool):
    finished_project.copy_of_source((project / "src").absolute())
    assert warm.run(project, tool).returncode == 0, "the same code in two places"
    rule = project / "src/semiseg/stages/row.py"
    rule.write_text(rule.read_text() + "\n# edited\n")
    refused = warm.run(project, tool)
    told = refused.stdout + refused.stderr
    assert refused.returncode != 0 and "Traceback" not in told
    assert f"{project}/src/semiseg is not the code that runs, which is " in told
    assert "install this checkout with `pip install --editable .`" in told
