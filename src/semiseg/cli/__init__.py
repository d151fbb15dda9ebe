"""The command line: one verb per rule, and verbs that ask. Nothing heavy is imported before the verb runs."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from semiseg.base import progress
from semiseg.base.errors import UserError
from semiseg.cli import data, proofs, questions, runs, sharing, tables

BAD_INPUT = 2
INTERRUPTED = 130
NOT_READ = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; a user's mistake is one sentence and exit status 2, never a traceback."""
    options = _parser().parse_args(arguments)
    progress.log_to(options.log)
    try:
        status: int | None = options.run(options)
        sys.stdout.flush()
    except UserError as error:
        progress.say(f"error: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        progress.say("interrupted: the next call continues where this one stopped")
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_READ
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="semiseg", description=sys.modules["semiseg"].__doc__)
    parser.add_argument("--log", type=Path, help="also append every line to this file")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for family in (data, runs, tables, questions, sharing, proofs):
        family.add(verbs)
    return parser
