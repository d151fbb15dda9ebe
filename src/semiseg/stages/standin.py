"""Rule ``standin``: draws the synthetic twin of a dataset, in the layout in which its publisher offers the original."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semiseg.base.files import sha256, write_json
from semiseg.data.standin import BROUGHT, SERVED, get_standin


def standin(spec: Mapping[str, Any], out: Path, workers: int = 1) -> None:
    """Draw the files into the folder of ``out``, which lists them and is written last. spec: ``Specs.standin``."""
    draw = get_standin(spec["dataset"])
    for part in (SERVED, BROUGHT):
        shutil.rmtree(out.parent / part, ignore_errors=True)
    draw(out.parent, spec["cases"], spec["seed"], workers)
    files = sorted(path for part in (SERVED, BROUGHT) for path in (out.parent / part).rglob("*") if path.is_file())
    hashes = {path.relative_to(out.parent).as_posix(): sha256(path) for path in files}
    write_json(out, {"dataset": spec["dataset"], "files": hashes})
