"""Verbs that keep, share and delete: keep keep-raw (by DVC), export unpack (as a research object), clean."""

import argparse
from pathlib import Path
from typing import Any

from semiseg.cli.parsing import add_verb


def add(verbs: Any) -> None:
    """Declare these verbs."""
    add_verb(verbs, "keep", _keep).add_argument("table")
    add_verb(verbs, "keep-raw", _keep_raw).add_argument("dataset")
    export = add_verb(verbs, "export", _export)
    export.add_argument("target", metavar="results/TABLE.csv")
    export.add_argument("out", type=Path, metavar="OUT", help="a new folder, or a file that ends in .zip")
    export.add_argument("--weights", action="store_true", help="include trained weights; default: only their hashes")
    export.add_argument("--zip", action="store_true", help="write one zip file")
    export.add_argument("--licence", help="licence of the results: an address or a sentence")
    export.add_argument("--author", help="author of the crate; default: none")
    export.add_argument(
        "--keep-paths", action="store_true", help="leave paths and passwords in params.yaml as they are"
    )
    clean = add_verb(verbs, "clean", _clean)
    clean.add_argument("table")
    clean.add_argument("--dry-run", action="store_true", help="only list them, with size and how each comes back")
    unpack = add_verb(verbs, "unpack", _unpack)
    unpack.add_argument("crate", type=Path, metavar="CRATE", help="a folder or zip that `semiseg export` has written")
    unpack.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")


def _keep(options: argparse.Namespace) -> None:
    """Put a built table and its files under DVC, for `dvc push` and `dvc pull`."""
    from semiseg.engine.dvc import keep
    from semiseg.graph.graph import Graph
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read
    from semiseg.proof.audit.belonging import check_belonging

    plan = Plan(read(Path("params.yaml")))
    check_belonging(Graph(plan), options.table)
    keep(plan, options.table)


def _keep_raw(options: argparse.Namespace) -> None:
    """Put the raw data of a dataset under DVC."""
    from semiseg.engine.dvc import keep_raw
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read

    keep_raw(Plan(read(Path("params.yaml"))), options.dataset)


def _export(options: argparse.Namespace) -> None:
    """Write a table and everything behind it as a Workflow Run RO-Crate."""
    from semiseg.proof.crate.export import export

    export(
        options.target,
        options.out,
        with_weights=options.weights,
        zipped=options.zip,
        keep_paths=options.keep_paths,
        licence=options.licence,
        author=options.author,
    )


def _clean(options: argparse.Namespace) -> None:
    """Delete prepared cases and predictions of a table, which jobs make again. Weights, scores and records stay."""
    from semiseg.engine.clean import clean
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read

    clean(Plan(read(Path("params.yaml"))), options.table, dry_run=options.dry_run)


def _unpack(options: argparse.Namespace) -> None:
    """Make a project folder from a research object, to audit it on this machine."""
    from semiseg.proof.crate.unpack import unpack

    unpack(options.crate, options.folder)
