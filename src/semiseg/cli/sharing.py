"""Verbs that share results: keep keep-raw."""

import argparse
from pathlib import Path
from typing import Any

from semiseg.cli.parsing import add_verb


def add(verbs: Any) -> None:
    """Declare these verbs."""
    add_verb(verbs, "keep", _keep).add_argument("table")
    add_verb(verbs, "keep-raw", _keep_raw).add_argument("dataset")


def _keep(options: argparse.Namespace) -> None:
    """Put what a built table rests on under DVC, so that `dvc push` sends and `dvc pull` brings it."""
    from semiseg.params import read
    from semiseg.plan import Plan
    from semiseg.stages.keep import keep

    keep(Plan(read(Path("params.yaml"))), options.table)


def _keep_raw(options: argparse.Namespace) -> None:
    """Put the raw data of a dataset under DVC."""
    from semiseg.params import read
    from semiseg.plan import Plan
    from semiseg.stages.keep import keep_raw

    keep_raw(Plan(read(Path("params.yaml"))), options.dataset)
