"""Verbs about proof: lineage audit compare."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.cli.parsing import add_verb

UNPROVEN = 1
DIFFERENT = 1  # exit status of compare for two builds that are not the same


def add(verbs: Any) -> None:
    """Declare these verbs."""
    lineage = add_verb(verbs, "lineage", _lineage)
    lineage.add_argument("target", type=Path, metavar="results/TABLE.csv")
    lineage.add_argument("--row", help="a row of the table, by its method or its label")
    lineage.add_argument("--column", help="a column: an organ or a mean, such as Dice")
    lineage.add_argument("--json", action="store_true", help="the same as JSON")
    audit = add_verb(verbs, "audit", _audit)
    audit.add_argument("targets", type=Path, nargs="+", metavar="FILE", help="results/TABLE.csv, or a file behind one")
    audit.add_argument(
        "--quick", action="store_true", help="trust size, times and inode of files that were hashed before"
    )
    audit.add_argument("--workers", type=_count, default=os.cpu_count() or 1, help="files hashed at once")
    audit.add_argument(
        "--recompute", choices=("score", "predict", "train"), help="repeat some jobs of this kind and compare the bits"
    )
    audit.add_argument("--sample", type=_count, default=1, help="how many jobs to repeat")
    audit.add_argument("--strict", action="store_true", help="changed comments in source and params.yaml count, too")
    audit.add_argument("--json", action="store_true", help="the report as JSON")
    compare = add_verb(verbs, "compare", _compare)
    for side in ("A", "B"):
        compare.add_argument(
            side.lower(),
            metavar=side,
            help="results/TABLE.csv, results/TABLE.csv:ROW, a crate (folder or zip) or CRATE:ROW",
        )
    compare.add_argument("--convention", choices=("published", "sound"), help="how two rows are scored; default: sound")
    compare.add_argument("--page", type=Path, metavar="FILE.html", help="also write a page, with pictures of the cases")
    compare.add_argument(
        "--plot", type=Path, metavar="FILE", help="also draw two rows case by case, as png, svg or pdf"
    )


def _lineage(options: argparse.Namespace) -> int:
    """Print what a file or a cell of a table was made from; the exit status is 0 only if its files are the recorded."""
    from semiseg.graph.targets import check_target
    from semiseg.proof.lineage.command import cell_tree, file_tree, show

    check_target(options.target)
    if (options.row is None) != (options.column is None):
        given, lacking = ("row", "column") if options.column is None else ("column", "row")
        raise UserError(f"--{given} is given without --{lacking}: a cell needs both")
    tree = cell_tree(options.target, options.row, options.column) if options.row else file_tree(options.target)
    return 0 if show(tree, options.target, options.json) else UNPROVEN


def _compare(options: argparse.Namespace) -> int:
    """Compare two rows case by case, or two builds of a table, also of another project or machine.

    The exit status is 0 for two rows, and for two builds that are the same within rounding; 1 for builds that differ.
    """
    from semiseg.proof.compare.command import compare

    same = compare(options.a, options.b, options.convention, options.page, options.plot)
    return 0 if same else DIFFERENT


def _audit(options: argparse.Namespace) -> int:
    """Check files from the number down to the raw scans; the exit status is 0 only if all is proven."""
    from semiseg.graph.graph import Graph
    from semiseg.graph.plan import Plan
    from semiseg.jobs.code_hash import read_source_anew
    from semiseg.params.reading import read
    from semiseg.proof.audit.command import Options, audit

    if not options.quick:
        read_source_anew()  # a full audit believes nothing that was kept
    how = Options(options.quick, options.workers, options.recompute, options.sample, options.strict)
    try:
        report = audit(Graph(Plan(read(Path("params.yaml")))), options.targets, how)
    except SyntaxError as error:  # the audit imports some of the code that it audits
        where = f"{error.filename}, line {error.lineno}" if error.filename else "a module of semiseg"
        raise UserError(f"{where} is not valid Python ({error.msg}): restore it and audit again") from None
    if options.json:
        print(json.dumps(report.as_data(), indent=1, ensure_ascii=False))
    else:
        print(*report.lines(), sep="\n")
    return 0 if report.proven else UNPROVEN


def _count(text: str) -> int:
    """A whole number of at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)
