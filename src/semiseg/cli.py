"""The command line: one verb per rule. Nothing heavy is imported before the verb runs."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semiseg import progress
from semiseg.errors import UserError

FOUND = 1
BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; a user's mistake is one sentence and exit status 2, never a traceback."""
    options = _parser().parse_args(arguments)
    progress.log_to(options.log)
    try:
        status: int | None = options.run(options)
    except UserError as error:
        progress.say(f"error: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        progress.say("interrupted: the next call continues where this one stopped")
        return INTERRUPTED
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="semiseg", description=sys.modules["semiseg"].__doc__)
    parser.add_argument("--log", type=Path, help="also write every line to this file")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_data_verbs(verbs)
    _add_run_verbs(verbs)
    _add_table_verbs(verbs)
    return parser


def _verb(verbs: Any, name: str, run: Any, *, spec: bool = True) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=run.__doc__, description=run.__doc__)
    verb.set_defaults(run=run)
    if spec:
        verb.add_argument("--spec", type=json.loads, required=True, help="parameters as JSON (see semiseg.plan)")
    return verb


def _paths(verb: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        verb.add_argument(f"--{name}", type=Path, required=True)


def _add_data_verbs(verbs: Any) -> None:
    bring = _verb(verbs, "import", _import, spec=False)
    bring.add_argument("dataset")
    bring.add_argument("source", type=Path, metavar="FOLDER_OR_ARCHIVE")
    twin = _verb(verbs, "standin", _standin)
    twin.add_argument("--workers", type=int, default=1)
    _paths(twin, "out")
    download = _verb(verbs, "download", _download)
    download.add_argument("--workers", type=int, default=2)
    download.add_argument("--standin", type=Path)
    _paths(download, "out")
    raw = _verb(verbs, "raw", _raw)
    raw.add_argument("--workers", type=int, default=1)
    raw.add_argument("--standin", type=Path)
    raw.add_argument("--archives", type=Path)
    _paths(raw, "out")
    prepare = _verb(verbs, "prepare", _prepare)
    prepare.add_argument("--workers", type=int, default=1)
    _paths(prepare, "raw", "out")
    _paths(_verb(verbs, "split", _split), "raw", "out")
    check = _verb(verbs, "check-split", _check_split, spec=False)
    check.add_argument("dataset")
    check.add_argument("split")
    check.add_argument("--workers", type=int, default=2)
    _verb(verbs, "describe", _describe, spec=False).add_argument("name", metavar="NAME")


def _add_run_verbs(verbs: Any) -> None:
    train = _verb(verbs, "train", _train)
    _paths(train, "prepared", "split", "state", "out", "history", "cost")
    train.add_argument("--checkpoint-seconds", type=float, default=120.0, help="work that a kill costs at most")
    predict = _verb(verbs, "predict", _predict)
    _paths(predict, "weights", "prepared", "split", "out")
    for verb in (train, predict):
        verb.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
        verb.add_argument("--threads", type=int, default=1)
    evaluate = _verb(verbs, "evaluate", _evaluate, spec=False)
    evaluate.add_argument("--workers", type=int, default=1)
    _paths(evaluate, "predictions", "prepared", "raw", "out")


def _add_table_verbs(verbs: Any) -> None:
    row = _verb(verbs, "row", _row)
    _paths(row, "split", "out")
    row.add_argument("cases", type=Path, nargs="+")
    table = _verb(verbs, "table", _table)
    _paths(table, "out")
    table.add_argument("rows", type=Path, nargs="+")
    figure = _verb(verbs, "figure", _figure)
    _paths(figure, "out")
    figure.add_argument("rows", type=Path, nargs="*", help="the table's rows, for bars")
    rehearse = _verb(verbs, "rehearse", _rehearse, spec=False)
    rehearse.add_argument("table")
    rehearse.add_argument("--cores", default="all", help="as Snakemake's option")
    rehearse.add_argument("--directory", type=Path, help="default: rehearsal/TABLE")
    plan = _verb(verbs, "plan", _plan, spec=False)
    plan.add_argument("table")
    plan.add_argument("--tflops", type=float, help="10^12 operations per second that your GPU keeps up")
    _verb(verbs, "schema", _schema, spec=False)
    _verb(verbs, "show", _show, spec=False).add_argument("table", type=Path, metavar="results/TABLE.csv")
    published = verbs.add_parser("published", help="The papers' numbers as data.").add_subparsers(required=True)
    numbers = _verb(published, "check", _check_published, spec=False)
    numbers.add_argument("papers", nargs="*", metavar="PAPER", help="default: all")
    numbers.add_argument("--write", type=Path, metavar="FILE.md", help="write a page instead of printing")


def _import(options: argparse.Namespace) -> None:
    """Verify your own copy of a dataset and put it under data/raw."""
    from semiseg.dataset import get_dataset
    from semiseg.params import read
    from semiseg.plan import Plan
    from semiseg.stages.raw import import_raw

    bulky = any(part.bulky for part in get_dataset(options.dataset).parts)  # only then the splits have a say
    wanted = Plan(read(Path("params.yaml"))).wanted(options.dataset) if bulky else None
    folder = Path("data/raw") / options.dataset
    import_raw(options.dataset, options.source, folder, None if wanted is None else frozenset(wanted))


def _standin(options: argparse.Namespace) -> None:
    """Draw the synthetic twin of a dataset."""
    from semiseg.stages.standin import standin

    standin(options.spec, options.out, options.workers)


def _download(options: argparse.Namespace) -> None:
    """Fetch the open archives of a dataset."""
    from semiseg.stages.download import download

    download(options.spec, options.out, options.standin, options.workers)


def _raw(options: argparse.Namespace) -> None:
    """Draw a phantom, or bring archives and folders into the raw folder."""
    from semiseg.stages.raw import build_raw

    build_raw(options.spec, options.out.parent, options.workers, options.standin, options.archives)


def _prepare(options: argparse.Namespace) -> None:
    """Bring raw cases onto the protocol's grid."""
    from semiseg.stages.prepare import prepare

    prepare(options.spec, options.raw, options.out, options.workers)


def _split(options: argparse.Namespace) -> None:
    """Decide which cases are labelled, unlabelled, validation and test."""
    from semiseg.stages.split import split

    split(options.spec, options.raw, options.out)


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


def _train(options: argparse.Namespace) -> None:
    """Train one run, or continue it."""
    from semiseg.stages.train import Outputs, choose_machine, train

    machine = choose_machine(options.device, options.threads, options.checkpoint_seconds)
    out = Outputs(options.out, options.history, options.cost)
    train(options.spec, options.prepared, options.split, options.state, out, machine)


def _predict(options: argparse.Namespace) -> None:
    """Segment the test cases with a sliding window."""
    from semiseg.stages.predict import predict
    from semiseg.stages.train import choose_machine

    machine = choose_machine(options.device, options.threads, 0.0)
    predict(options.spec, options.weights, options.prepared, options.split, options.out, machine)


def _evaluate(options: argparse.Namespace) -> None:
    """Measure predictions against the truth, case by case and organ by organ."""
    from semiseg.stages.evaluate import evaluate_run

    evaluate_run(options.predictions, options.prepared, options.raw, options.out, options.workers)


def _row(options: argparse.Namespace) -> None:
    """Score one row of a table."""
    from semiseg.stages.row import row

    row(options.spec, options.cases, options.split, options.out)


def _table(options: argparse.Namespace) -> None:
    """Write a table as CSV, Markdown, LaTeX and HTML."""
    from semiseg.stages.tabulate import tabulate

    tabulate(options.spec, options.rows, options.out)


def _figure(options: argparse.Namespace) -> None:
    """Draw a figure of a table: box plots, learning curves, bars or one case."""
    from semiseg.stages.figure import figure

    figure(options.spec, options.rows, options.out)


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
