"""Verbs that check, describe or rehearse, and those that print what is kept of them in the project."""

import argparse
from pathlib import Path
from typing import Any

from semiseg.cli.parsing import add_verb
from semiseg.cli.proofs import UNPROVEN

FOUND = 1  # exit status of check-split when it finds something serious


def add(verbs: Any) -> None:
    """Declare these verbs."""
    params = add_verb(verbs, "check-params", _check_params)
    params.add_argument(
        "--names",
        action="store_true",
        help="keys, values and names alone; default: also sources, lists, printed numbers and files of plug-ins",
    )
    check = add_verb(verbs, "check-split", _check_split)
    check.add_argument("dataset")
    check.add_argument("split")
    check.add_argument("--workers", type=int, default=2)
    add_verb(verbs, "counts", _counts)
    add_verb(verbs, "describe", _describe).add_argument("name", metavar="NAME")
    rehearse = add_verb(verbs, "rehearse", _rehearse)
    rehearse.add_argument("table")
    rehearse.add_argument("--cores", default="all", help="passed to Snakemake's --cores")
    rehearse.add_argument("--directory", type=Path, help="folder of the rehearsal; default: rehearsal/TABLE")
    plan = add_verb(verbs, "plan", _plan)
    plan.add_argument("table")
    plan.add_argument("--tflops", type=float, help="speed of your GPU in 10^12 operations per second")
    plan.add_argument("--runs-per-gpu", type=int, default=1, help="how many runs are to share a GPU (docs/slurm.md)")
    schema = add_verb(verbs, "schema", _schema)
    schema.add_argument(
        "--markdown", action="store_true", help="print a Markdown page (docs/params.md) instead of the JSON schema"
    )
    add_verb(verbs, "show", _show).add_argument("table", type=Path, metavar="results/TABLE.csv")
    published = verbs.add_parser(
        "published", help="Work with the numbers that were transcribed from the papers."
    ).add_subparsers(required=True)
    numbers = add_verb(published, "check", _check_published)
    numbers.add_argument("papers", nargs="*", metavar="PAPER", help="papers to check; default: all")
    numbers.add_argument("--write", type=Path, metavar="FILE.md", help="write the result to this file, print nothing")
    claims = add_verb(published, "claims", _published_claims)
    claims.add_argument("papers", nargs="*", metavar="PAPER", help="papers to look at; default: all")
    claims.add_argument("--write", type=Path, metavar="FILE.md", help="write the result to this file, print nothing")


def _check_params(options: argparse.Namespace) -> None:
    """Check params.yaml: keys, values, names, files of plug-ins, lists, crops, splits and printed numbers."""
    from semiseg.describe.check_params import check_params
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read

    plan = Plan(read(Path("params.yaml")))
    if not options.names:
        print(check_params(plan))


def _check_split(options: argparse.Namespace) -> int:
    """Check a split: repeated scans, patients in both training and test data, mixed modalities, missing organs."""
    from semiseg.describe.check_split import check_split
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read

    plan = Plan(read(Path("params.yaml")))
    return 0 if check_split(plan, options.dataset, options.split, options.workers) else FOUND


def _counts(options: argparse.Namespace) -> None:
    """Print the work of a training step of every row in params.yaml, which comes with the package (`make counts`)."""
    from semiseg.describe.counts import counts_text
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read

    print(counts_text(Plan(read(Path("params.yaml")))), end="")


def _describe(options: argparse.Namespace) -> None:
    """Print a description of a table, dataset, split (DATASET/SPLIT or a list), protocol, preparation or method.

    `semiseg describe methods` lists all methods and variants.
    """
    from semiseg.describe.command import describe
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read

    describe(Plan(read(Path("params.yaml"))), options.name)


def _rehearse(options: argparse.Namespace) -> None:
    """Build a table from synthetic data with a few training steps. Every rule of the real table runs."""
    from semiseg.engine.rehearsal import rehearse
    from semiseg.params.reading import read
    from semiseg.report.show import show

    folder = options.directory or Path("rehearsal") / options.table
    show(rehearse(read(Path("params.yaml")), options.table, folder, options.cores))


def _plan(options: argparse.Namespace) -> None:
    """Print the expected cost of a table (hours, GPU memory, disk) and which parts are finished. Nothing runs."""
    from semiseg.describe.cost import plan_table
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read

    speed = None if options.tflops is None else 1e12 * options.tflops
    plan_table(Plan(read(Path("params.yaml"))), options.table, speed, options.runs_per_gpu)


def _show(options: argparse.Namespace) -> int:
    """Print a finished table; the exit status is 0 only if its files are the recorded, as that of `lineage`."""
    from semiseg.graph.targets import check_target
    from semiseg.proof.lineage.here import doubts
    from semiseg.report.show import show

    check_target(options.table)
    show(options.table)
    lines = doubts(options.table)
    for line in lines:
        print(line)
    return UNPROVEN if lines else 0


def _schema(options: argparse.Namespace) -> None:
    """Print the JSON schema of params.yaml, generated from semiseg.params.config."""
    from semiseg.params.reading import schema_text
    from semiseg.params.reference import reference

    print(reference() if options.markdown else schema_text(), end="")


def _check_published(options: argparse.Namespace) -> None:
    """List the papers' printed numbers that disagree with each other or are arithmetically inconsistent."""
    from semiseg.papers.check.command import check

    check(options.papers, options.write)


def _published_claims(options: argparse.Namespace) -> None:
    """Print how probable it is that a paper's own row is not the best one, given the printed means and spreads."""
    from semiseg.papers.outperformance.command import show_claims

    show_claims(options.papers, options.write)
