"""The command line: one verb per rule of the workflow, and verbs for users. Slow imports wait until the verb runs."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from semiseg.base import progress
from semiseg.base.errors import UserError
from semiseg.cli import proofs, questions, rules, sharing

BAD_INPUT = 2
INTERRUPTED = 130
NOT_READ = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit status. A user's mistake is shown as one sentence, without a traceback."""
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
    except BrokenPipeError:  # the reader has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_READ
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="semiseg", description=sys.modules["semiseg"].__doc__)
    parser.add_argument("--log", type=Path, help="also append every line to this file")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for family in (rules, questions, sharing, proofs):
        family.add(verbs)
    return parser
