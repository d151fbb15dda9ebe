"""Published splits as data: one YAML file per list, case names in the published order, and their reader."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from semiseg.errors import UserError

PARTS = ("labelled", "unlabelled", "val", "test")


def read_list(name: str) -> dict[str, Any]:
    """The split of this name: source, notes and the four lists. Raises UserError when counts and lists disagree."""
    entry = files(__name__).joinpath(f"{name}.yaml")
    if not entry.is_file():
        raise UserError(f"unknown split list {name!r}; known: {', '.join(list_names())}")
    content: dict[str, Any] = yaml.safe_load(entry.read_text(encoding="utf-8"))
    for part in PARTS:
        found, stated = len(content[part]), content["counts"][part]
        if found != stated:
            raise UserError(f"split list {name}: {part} has {found} cases, its counts say {stated}: correct the file")
    return content


def list_names() -> list[str]:
    """Names of all published splits."""
    found = (Path(entry.name) for entry in files(__name__).iterdir())
    return sorted(path.stem for path in found if path.suffix == ".yaml")
