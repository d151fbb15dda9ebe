"""A synthetic project of full size: all tables of params.yaml, and 30 tables of 48 methods and 3 seeds beside them.

Methods beyond those of the package are copies of its files under other names, in a copy of the package.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
METHODS, TABLES, SEEDS = 48, 30, 3
DATASETS = ("flare22", "amos22", "btcv", "mmwhs")


def copy_project(folder: Path) -> None:
    """The workflow, and a package with copies of its methods until there are enough."""
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "profiles", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    methods = folder / "src/semiseg/methods"
    files = sorted(path for path in methods.glob("*.py") if not path.stem.startswith("_"))
    for number in range(METHODS - len(files)):
        original = files[number % len(files)]
        shutil.copy(original, methods / f"{original.stem}_copy{number:02}.py")


def write_params(folder: Path, tables: int = TABLES) -> list[str]:
    """params.yaml with the synthetic tables; returns their names. Each has a split, and so all its runs, of its own."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    methods = sorted(path.stem for path in (folder / "src/semiseg/methods").glob("*.py") if path.stem[0] != "_")
    names = [f"whole_{number:02}" for number in range(tables)]
    for number, name in enumerate(names):
        dataset = DATASETS[number % len(DATASETS)]
        draw = {"labelled": 8, "unlabelled": 40, "val": 4, "test": 20, "seed": number}
        params["splits"][dataset][name] = {"draw": draw}
        params["tables"][name] = {
            "title": f"Synthetic table {number}",
            "dataset": dataset,
            "protocol": "guidednet",
            "split": name,
            "seeds": list(range(SEEDS)),
            "rows": methods,
        }
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return names


def snakemake(folder: Path, *arguments: str) -> list[str]:
    """The command line of Snakemake in this environment."""
    return [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder), *arguments]


def environment(folder: Path) -> dict[str, str]:
    """Variables under which the copied package is imported."""
    return {**os.environ, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}


def run(folder: Path, command: Sequence[str]) -> str:
    """What a command printed; RuntimeError with its last words if it failed."""
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout + done.stderr
