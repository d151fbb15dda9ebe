"""A small finished project with real jobs behind every file: raw scans, a trained row and a control, two seeds each.

Built by the verbs of the rules in one process, in the order in which Snakemake would run them.
"""

import compileall
import contextlib
import functools
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import semiseg
from semiseg.cli.main import main
from semiseg.graph.graph import Graph
from semiseg.graph.job import Job
from semiseg.graph.plan import Plan
from semiseg.graph.specs import as_text
from semiseg.jobs.lock import held
from semiseg.params.reading import read
from semiseg.stages.rules import RULES
from support import params_yaml
from support.project_folder import write_params

TABLE = "results/tiny.csv"
RUN = "results/runs/phantom_mri/la_small/tiny"
ROWS = ("cps", "control_perfect")
SEEDS = (1, 2)


def params() -> dict[str, Any]:
    """The project's own parameters, as far as one small table needs them."""
    whole = params_yaml.content()
    protocol = whole["protocols"]["la_small"]
    protocol["network"]["filters"] = 2
    validation = {"every": 1, "per": "iteration", "region": "volume", "absent": "zero"}
    protocol["training"] |= {"patch": [32, 32, 16], "iterations": 2, "validation": validation}
    protocol["inference"] = {"window": [32, 32, 16], "stride": [32, 32, 16]}
    return {
        "datasets": {"phantom_mri": {"generate": {"seed": 3, "labelled": 5, "unlabelled": 2, "size": 40}}},
        "preparations": {"la_half": whole["preparations"]["la_half"]},
        "splits": {"phantom_mri": {"tiny": {"draw": {"labelled": 2, "unlabelled": 2, "val": 1, "test": 2, "seed": 1}}}},
        "protocols": {"la_small": protocol},
        "methods": {"cps": {"weight": 0.2}},
        "variants": {},
        "tables": {
            "tiny": {
                "title": "Tiny",
                "dataset": "phantom_mri",
                "protocol": "la_small",
                "split": "tiny",
                "seeds": list(SEEDS),
                "rows": list(ROWS),
                "metrics": ["dice", "jaccard", "asd", "hd95"],
            }
        },
    }


def graph() -> Graph:
    """The jobs that params.yaml in the working folder wants."""
    return Graph(Plan(read(Path("params.yaml"))))


def build(folder: Path, target: str = TABLE, workers: int = 1) -> None:
    """Do every job behind a target in ``folder``, which holds a params.yaml."""
    with contextlib.chdir(folder):
        for job in graph().chain(target):
            assert main(arguments(job, workers)) == 0, job.main


def _shared(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of this run of the tests, which its workers share."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def copy(factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished project, which is built once, also where several workers run the tests."""
    finished = _shared(factory) / "finished"
    with held(finished.with_suffix(".lock"), "the finished project"):
        if not finished.exists():
            folder = factory.mktemp("proven")
            write_params(folder, params())
            build(folder)
            folder.rename(finished)
    folder = factory.mktemp("copy") / "project"
    shutil.copytree(finished, folder)
    return folder


def command(*arguments: str, source: Path) -> subprocess.CompletedProcess[str]:
    """The program as it stands in another folder of source."""
    env = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-m", "semiseg", *arguments], env=env, capture_output=True, encoding="utf-8")


def copy_of_source(folder: Path) -> Path:
    """The package in another folder, to be edited; what it returns goes to ``command``."""
    shutil.copytree(_compiled() / "semiseg", folder / "semiseg")
    return folder


@functools.cache
def _compiled() -> Path:
    """A copy of the package with its bytecode, once per process, because each ``command`` would compile it again.

    The bytecode holds hashes of the source: dates would not show an edit within the second of the copy.
    """
    folder = Path(_kept.name)
    shutil.copytree(Path(semiseg.__file__).parent, folder / "semiseg", ignore=shutil.ignore_patterns("__pycache__"))
    by_hash = py_compile.PycInvalidationMode.CHECKED_HASH
    assert compileall.compile_dir(folder, quiet=2, invalidation_mode=by_hash)
    return folder


_kept = tempfile.TemporaryDirectory(prefix="source-")  # removed when the process ends


def arguments(job: Job, workers: int = 1) -> list[str]:
    """A job's command line, as the Snakemake rule writes it."""
    rule = RULES[job.rule]
    outputs = dict(zip((output.name for output in rule.outputs), job.outputs.values(), strict=False))
    options = {name: path for name, path in {**job.inputs, **outputs}.items() if name in rule.file_names}
    options |= {name: f"results/{name}/{job.main}" for name in rule.scratch}
    numbers = {"workers": workers, "threads": 1}  # threads are part of the bits, workers are not
    options |= {name: str(number) for name, number in numbers.items() if name in rule.options}
    named = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    several = [path for item in rule.inputs if item.several for path in job.inputs.get(item.name, ())]
    return [job.rule, "--spec", as_text(job.spec), *named, *several]
