"""Verbs of the rules that make a table from finished runs: row table figure."""

import argparse
from pathlib import Path
from typing import Any

from semiseg.cli.parsing import add_job, perform


def add(verbs: Any) -> None:
    """Declare these verbs."""
    add_job(verbs, "row", _row, "split").add_argument("cases", type=Path, nargs="+")
    add_job(verbs, "table", _table).add_argument("rows", type=Path, nargs="+")
    figure = add_job(verbs, "figure", _figure)
    figure.add_argument("rows", type=Path, nargs="*", help="the table's rows, for bars")


def _row(options: argparse.Namespace) -> None:
    """Score one row of a table."""
    from semiseg.stages.row import row

    perform(
        options,
        [options.cases, options.split],
        lambda: row(options.spec, options.cases, options.split, options.out),
    )


def _table(options: argparse.Namespace) -> None:
    """Write a table as CSV, Markdown, LaTeX and HTML."""
    from semiseg.paths import FORMS
    from semiseg.stages.tabulate import tabulate

    perform(
        options,
        [options.rows, _page_files(options.spec)],
        lambda: tabulate(options.spec, options.rows, options.out),
        beside=[options.out.with_suffix(form) for form in FORMS],
    )


def _figure(options: argparse.Namespace) -> None:
    """Draw a figure of a table: box plots, learning curves, bars or one case."""
    from semiseg.stages.figure import figure

    perform(
        options,
        [options.rows or _page_files(options.spec)],
        lambda: figure(options.spec, options.rows, options.out),
    )


def _page_files(spec: dict[str, Any]) -> list[str]:
    """What a page reads of the runs that its specification names."""
    from semiseg.paths import page_files

    return page_files(folder for folders in spec["runs"].values() for folder in folders)
