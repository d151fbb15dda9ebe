"""A finished table whose names and texts try to run code, from a user's copy outside the project; built once."""

import functools
import os
import subprocess
from pathlib import Path

import h5py
import numpy as np
import yaml

from support import params_yaml, project_folder, warm

TABLE = "results/tiny.csv"
RUN = "results/runs/la/la_small/tiny/control_perfect/seed1"
HOME, HOST, PASSWORD = "home-of-somebody", "host-of-somebody", "open-sesame"
SHELL = "$(touch run) `touch run` ; touch run | touch run & touch run > run\n'\"\\ {wildcards} %s !touch"
CASES = ("$(touch run)", "`touch run`", "; touch run #", 'it\'s "x" & touch run', "-rf")


def params(source: Path) -> dict:
    """The project's parameters with a table of one control, on a user's copy that lies outside the project."""
    content = params_yaml.content()
    content["datasets"] = {"la": {"source": str(source), "mirror": f"https://me:{PASSWORD}@mirror.example/files?key=1"}}
    content["splits"] = {"la": {"tiny": {"draw": {"labelled": 2, "unlabelled": 1, "val": 1, "test": 1, "seed": 2}}}}
    protocol = content["protocols"]["la_small"]
    protocol["network"]["filters"] = 2
    protocol["training"] |= {"patch": [16, 16, 16], "iterations": 2}
    protocol["inference"] = {"window": [16, 16, 16], "stride": [16, 16, 16]}
    content["protocols"], content["variants"] = {"la_small": protocol}, {}
    content["tables"] = {
        "tiny": {
            "title": SHELL,
            "paper": SHELL,
            "dataset": "la",
            "protocol": "la_small",
            "split": "tiny",
            "seeds": [1],
            "rows": [{"method": "control_perfect", "label": SHELL}],
            "metrics": ["dice"],
            "notes": [SHELL],
        }
    }
    return content


def write_scans(folder: Path, names: tuple[str, ...] = CASES) -> None:
    """A user's copy of LA with these names of cases."""
    label = np.zeros((24, 24, 20), np.uint8)
    label[6:18, 6:18, 5:15] = 1
    for seed, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        noise = np.random.default_rng(seed).normal(0, 0.3, label.shape)
        with h5py.File(folder / name / "mri_norm2.h5", "w") as file:
            file["image"], file["label"] = (label + noise).astype(np.float32), label


def write_params(folder: Path, content: dict) -> None:
    """The project's parameters, with a comment that tells what it should not."""
    text = yaml.safe_dump(content, allow_unicode=True)
    (folder / "params.yaml").write_text(f"# mine lies in /data/{HOME}/scans\n{text}", encoding="utf-8")


def new(folder: Path, content: dict) -> Path:
    """A project folder with the real workflow."""
    project_folder.new(folder, content, "constraints.txt", "dvc.yaml")
    write_params(folder, content)
    return folder


def _user(folder: Path) -> dict[str, str]:
    """The environment of a user whose home and host can be searched for."""
    home = folder.parent / HOME
    home.mkdir(exist_ok=True)
    return {**os.environ, "HOME": str(home), "HOSTNAME": HOST, "USER": HOME}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A call of Snakemake."""
    return warm.snakemake(folder, ["--cores", "1", *arguments], _user(folder))


def semiseg(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A call of semiseg."""
    return warm.run(folder, ["semiseg", *arguments], _user(folder))


@functools.cache
def built(base: Path) -> Path:
    """The finished project below this folder."""
    scans = base / HOME / "my scans; touch run #"
    write_scans(scans)
    project = new(base / "project", params(scans))
    result = snakemake(project, TABLE)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return project
