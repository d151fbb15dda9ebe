"""A project folder as a user has it, in which nothing is built yet."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from support import ROOT


def write_params(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``params.yaml``."""
    (folder / "params.yaml").write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8")


def new(folder: Path, content: Mapping[str, Any], *others: str) -> Path:
    """Make the folder, if need be, with the real workflow, its profiles and these parameters.

    others: more files and folders of the project to copy.
    """
    for name in ("Snakefile", "workflow", "profiles", *others):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    write_params(folder, content)
    return folder
