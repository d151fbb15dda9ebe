"""Stand-ins: one file per dataset draws a synthetic twin of it, so that a table can be rehearsed without its data.

Every file defines ``draw(folder, cases, seed, workers)``. It writes, for the given official case ids alone,

- ``folder/served/<host>/<path>``: the answers of the publisher's server, JSON lists and archives (open parts), and
- ``folder/brought/...``: the archives or folders of a registered user (gated parts),

with the original's names, layout, formats, orientations, spacings, dtypes and label ids, but few and small cases of
miniature anatomy. Equal arguments give equal files.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from semiseg import catalogue

SERVED, BROUGHT = "served", "brought"
Draw = Callable[[Path, Sequence[str], int, int], None]


def get_standin(name: str) -> Draw:
    """The function that draws the twin of this dataset. Raises UserError with the datasets that have one."""
    catalogue.require("standins", name, f"datasets.{name}.standin")
    draw: Draw = importlib.import_module(f"semiseg.standins.{name}").draw
    return draw
