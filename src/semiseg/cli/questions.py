"""Verbs that ask: check-params describe check-split plan show published rehearse schema."""

import argparse
from pathlib import Path
from typing import Any

from semiseg.cli.parsing import add_verb

FOUND = 1


def add(verbs: Any) -> None:
    """Declare these verbs."""
    add_verb(verbs, "check-params", _check_params)
    check = add_verb(verbs, "check-split", _check_split)
    check.add_argument("dataset")
    check.add_argument("split")
    check.add_argument("--workers", type=int, default=2)
    add_verb(verbs, "describe", _describe).add_argument("name", metavar="NAME")
    rehearse = add_verb(verbs, "rehearse", _rehearse)
    rehearse.add_argument("table")
    rehearse.add_argument("--cores", default="all", help="as Snakemake's option")
    rehearse.add_argument("--directory", type=Path, help="default: rehearsal/TABLE")
    plan = add_verb(verbs, "plan", _plan)
    plan.add_argument("table")
    plan.add_argument("--tflops", type=float, help="10^12 operations per second that your GPU keeps up")
    add_verb(verbs, "schema", _schema)
    add_verb(verbs, "show", _show).add_argument("table", type=Path, metavar="results/TABLE.csv")
    published = verbs.add_parser("published", help="The papers' numbers as data.").add_subparsers(required=True)
    numbers = add_verb(published, "check", _check_published)
    numbers.add_argument("papers", nargs="*", metavar="PAPER", help="default: all")
    numbers.add_argument("--write", type=Path, metavar="FILE.md", help="write a page instead of printing")


def _check_params(options: argparse.Namespace) -> None:
    """Check every key, name and reference of params.yaml."""
    from semiseg.params import read
    from semiseg.plan import Plan

    Plan(read(Path("params.yaml")))


def _check_split(options: argparse.Namespace) -> int:
    """Look for the same scan or patient on both sides of a split, mixed modalities and missing organs."""
    from semiseg.params import read
    from semiseg.plan import Plan
    from semiseg.stages.check_split import check_split

    plan = Plan(read(Path("params.yaml")))
    return 0 if check_split(plan, options.dataset, options.split, options.workers) else FOUND


def _describe(options: argparse.Namespace) -> None:
    """Print the front page of a dataset, split (DATASET/SPLIT or a list), preparation, protocol or table."""
    from semiseg.params import read
    from semiseg.plan import Plan
    from semiseg.stages.describe import describe

    describe(Plan(read(Path("params.yaml"))), options.name)


def _rehearse(options: argparse.Namespace) -> None:
    """Build a table on synthetic stand-ins with a tiny budget: the same rules, nothing skipped."""
    from semiseg.params import read
    from semiseg.stages.rehearse import rehearse
    from semiseg.stages.show import show

    folder = options.directory or Path("rehearsal") / options.table
    show(rehearse(read(Path("params.yaml")), options.table, folder, options.cores))


def _plan(options: argparse.Namespace) -> None:
    """Print what a table will cost before anything runs: hours, GPU memory, disk; and what is there already."""
    from semiseg.params import read
    from semiseg.plan import Plan
    from semiseg.stages.plan import plan_table

    speed = None if options.tflops is None else 1e12 * options.tflops
    plan_table(Plan(read(Path("params.yaml"))), options.table, speed)


def _show(options: argparse.Namespace) -> None:
    """Print a finished table."""
    from semiseg.stages.show import show

    show(options.table)


def _schema(options: argparse.Namespace) -> None:
    """Print the JSON schema of params.yaml, generated from semiseg.config."""
    from semiseg.params import schema_text

    print(schema_text(), end="")


def _check_published(options: argparse.Namespace) -> None:
    """List every disagreement of the papers' printed numbers with each other and with arithmetic."""
    from semiseg.stages.published import check

    check(options.papers, options.write)
