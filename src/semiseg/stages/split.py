"""Rule ``split``: decides which cases are labelled, unlabelled, validation and test cases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semiseg.base.files import write_json
from semiseg.data.split import resolved


def split(spec: Mapping[str, Any], manifest: Path, out: Path) -> None:
    """Write the four lists of case ids, after checking that they are disjoint, complete and labelled where needed.

    spec: dataset, name and definition (``Specs.split``). Raises UserError for a listed case that is missing.
    """
    write_json(out, resolved(spec, manifest))
