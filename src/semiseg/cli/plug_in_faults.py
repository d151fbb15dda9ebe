"""Errors that arise in the file of a method or of a dataset: one sentence with the place."""

import re
import traceback
from pathlib import Path

from semiseg.base.names import guess
from semiseg.base.sources import PACKAGE, shown

PLACE = re.compile(rf'File "({re.escape(str(PACKAGE))}/(?:methods|datasets)/[^"]+)", line (\d+)')
LONGEST = 300  # characters of an error's own words


def sentence(error: Exception) -> str | None:
    """The deepest line of such a file in the traceback, and the error's words; None where no such file is in it.

    The text of the traceback is searched, because it also holds the lines of a worker process.
    """
    places = PLACE.findall("".join(traceback.format_exception(error)))
    if not places:
        return None
    file, line = places[-1]
    return f"{shown(Path(file))}, line {line}: {type(error).__name__}: {_words(error)}"


def _words(error: Exception) -> str:
    """The error's own words in one line, with the nearest names where it is about an attribute that is not there."""
    words = " ".join(str(error).split())[:LONGEST].rstrip(".")
    if isinstance(error, AttributeError) and isinstance(error.name, str) and "did you mean" not in words:
        words += guess(error.name, (name for name in dir(error.obj) if name != error.name))
    return words
