"""What the verbs share: how one is declared, and how a rule's verb becomes a job with a lock and a lineage record."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def add_verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
    """Declare a verb; the docstring of ``run`` is its help."""
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=run.__doc__, description=run.__doc__)
    verb.set_defaults(run=run)
    return verb


def add_job(verbs: Any, name: str, run: Callable[[argparse.Namespace], None], *paths: str) -> argparse.ArgumentParser:
    """Declare the verb of a rule: its parameters as JSON, and the paths of its files."""
    verb = add_verb(verbs, name, run)
    verb.set_defaults(rule=name)
    verb.add_argument("--spec", type=json.loads, required=True, help="parameters as JSON (see semiseg.graph.specs)")
    add_paths(verb, *paths, "out")
    return verb


def add_paths(verb: argparse.ArgumentParser, *names: str) -> None:
    """Declare required options that are paths."""
    for name in names:
        verb.add_argument(f"--{name}", type=Path, required=True)


def perform(
    options: argparse.Namespace,
    inputs: Iterable[Any],
    work: Callable[[], dict[str, Any] | None],
    beside: Iterable[Path] = (),
) -> None:
    """Do a job alone on its outputs and write its lineage record.

    inputs: paths or lists of paths, None left out. beside: outputs other than ``--out``. work: may return facts for the
    record.
    """
    from semiseg.jobs.record import named
    from semiseg.jobs.run import Call, run

    run(Call(options.rule, options.spec, named(inputs), named([options.out, *beside])), work)
