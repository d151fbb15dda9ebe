"""How a verb is declared."""

import argparse
from collections.abc import Callable
from typing import Any


def add_verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str | None = None
) -> argparse.ArgumentParser:
    """Declare a verb. Its help is ``text``, or else the docstring of ``run``."""
    text = text or run.__doc__
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(run=run)
    return verb
