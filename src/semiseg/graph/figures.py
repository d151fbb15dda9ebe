"""Which figures a table has. Imported while the workflow is planned, so nothing heavy is imported here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import read_json

CASE = "case_"
CHARTS = ("boxes", "curves", "bars")
FORMATS = (".png", ".svg", ".pdf")


def check_figure(spec: Mapping[str, Any], figure: str) -> None:
    """Raise UserError for a figure that this table (``Plan.tabulation``'s specification) cannot have.

    Test cases are looked up in the split, if it is there already: a drawn one is not until its rule has run.
    """
    table = spec["table"]
    if figure.startswith(CASE):
        if Path(spec["split"]).exists():
            case, known = figure.removeprefix(CASE), read_json(spec["split"])["test"]
            if case not in known:
                raise UserError(f"table {table} has no test case {case!r}; it has: {', '.join(known)}")
    elif figure not in CHARTS:
        raise UserError(f"unknown figure {figure!r}; known: {', '.join(CHARTS)}, {CASE}<case>")
    elif figure == "bars" and not set(spec["variants"]) & set(spec["runs"]):
        raise UserError(
            f"table {table} has no row that is a variant, so there are no bars: give it rows of `variants` in"
            " params.yaml, or ask for boxes or curves"
        )
