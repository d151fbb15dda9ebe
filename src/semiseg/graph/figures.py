"""Which figures a table has. The planner imports this file, so it imports nothing heavy."""

from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.params.table_spec import TableSpec

CASE = "case_"
CHARTS = ("boxes", "curves", "bars", "seconds")
FORMATS = (".png", ".svg", ".pdf")


def check_figure(spec: TableSpec, figure: str) -> None:
    """Raise UserError for a figure that this table cannot have.

    Test cases are looked up in the split where its file exists; before its rule has run, every case is accepted.
    """
    if figure.startswith(CASE):
        if Path(spec.split).exists():
            case, known = figure.removeprefix(CASE), read_json(spec.split)["test"]
            if case not in known:
                raise UserError(f"table {spec.table} has no test case {case!r}; it has: {', '.join(known)}")
    elif figure not in CHARTS:
        raise UserError(f"unknown figure {figure!r}; known: {', '.join(CHARTS)}, {CASE}<case>")
    elif figure == "bars" and not (set(spec.variants) & set(spec.runs)) - set(spec.imported):
        raise UserError(
            f"table {spec.table} has no row that is a variant, so there are no bars: give it rows of `variants` in"
            " params.yaml, or draw boxes or curves"
        )
