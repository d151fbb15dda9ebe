"""The entry of the `semiseg` command: it parses, runs a verb, and turns errors into sentences and exit statuses."""

import argparse
import atexit
import functools
import gc
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.progress import ERROR, IN_THE_LOG, WHERE, set_up_logging
from semiseg.base.surroundings import complete
from semiseg.cli import plug_in_faults, proofs, questions, rules, sharing
from semiseg.jobs.checkout import check_checkout

logger = logging.getLogger(__name__)

CRASHED = 1
BAD_INPUT = 2
INTERRUPTED = 130
NOT_READ = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit status.

    A user's mistake, and a file that is closed to the user, are one sentence and status 2. An unexpected error is a
    traceback and status 1. Both are printed to the terminal and written to the job's log. Where the error arose in the
    file of a method or dataset, a sentence with its line and words comes last; the traceback of a job with a log is in
    the log alone.
    """
    complete()
    # Python would look through all objects for garbage once more before it ends, an eighth of the time of a table. The
    # system takes the memory back without that.
    atexit.register(gc.freeze)
    options = _parser().parse_args(arguments)
    try:
        set_up_logging(options.log)
        check_checkout()
        status: int | None = options.run(options)
        sys.stdout.flush()
    except UserError as error:
        logger.error(f"{ERROR}{error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        logger.error("interrupted: the next call continues where this one stopped")
        return INTERRUPTED
    except BrokenPipeError:  # the reader has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_READ
    except Exception as error:
        if isinstance(error, PermissionError) and error.filename is not None:
            logger.error(f"{ERROR}{_closed(error)}")
            return BAD_INPUT
        if (fault := plug_in_faults.sentence(error)) is not None:
            whole = "".join(traceback.format_exception(error)).rstrip()
            logger.error(f"{WHERE}\n{whole}", extra=IN_THE_LOG)
            logger.error(f"{ERROR}{fault}")
        else:
            logger.exception(f"{ERROR}{type(error).__name__} was not expected, this is where it arose")
        return CRASHED
    return status or 0


def _closed(error: PermissionError) -> str:
    """The sentence about a file or folder that this user may not read or write."""
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return (
        f"{place} is closed to this user ({error.strerror}): have its owner open it and the folders above it with"
        " `chmod`, or call as its owner"
    )


@functools.cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="semiseg", description=sys.modules["semiseg"].__doc__)
    parser.add_argument("--log", type=Path, help="also append every line to this file")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for family in (rules, questions, sharing, proofs):
        family.add(verbs)
    return parser
