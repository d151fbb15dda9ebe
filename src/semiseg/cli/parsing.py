"""Declaration of a verb, which is a subcommand of `semiseg`."""

import argparse
from collections.abc import Callable
from typing import Any


def add_verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str | None = None
) -> argparse.ArgumentParser:
    """Add a verb to the subparsers ``verbs`` and return its parser.

    run: function that ``main`` calls with the parsed options; it returns the exit status, where None is 0. The verb's
    help is ``text``, or the docstring of ``run`` if no text is given.
    """
    text = text or run.__doc__
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(run=run)
    return verb
