"""Rule ``split``: decides which cases are labelled, unlabelled, validation and test cases."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semiseg.base.files import write_json
from semiseg.data.split import resolved

logger = logging.getLogger(__name__)


def split(spec: Mapping[str, Any], manifest: Path, out: Path) -> None:
    """Write the four lists of case ids, after checking that they are disjoint, complete and labelled where needed.

    spec: dataset, name and definition (``Specs.split``). The log and the table's page tell of leaks between training,
    validation and test. Raises UserError for a listed case that is missing.
    """
    content = resolved(spec, manifest)
    for leak in content["serious"]:
        logger.warning(f"warning: split {spec['name']} of {spec['dataset']}: {leak}: results on this split mislead")
    write_json(out, content)
